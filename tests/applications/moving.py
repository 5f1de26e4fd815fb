"""What becomes of one application's bot: registered as it comes, moved, used, moved back."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.applications.application import Application, Place
from tests.applications.documents import WRITTEN_LATER, Document
from tests.fakes.embedders import LOCAL_64, LOCAL_256
from tests.harness import rows
from tests.harness.bots import BotHandle, expect
from tests.harness.world import World
from tests.harness.writers import History
from tests.services.databases import unique_name

#: A reader of the alias sees a switch when Milvus shows it; several runs go at once.
PATIENCE_SECONDS = 120.0
#: The share of what was found before that must be found after it.
ENOUGH = 0.95
#: What is agreed to when a migration is started; all else is stated at registration.
AT_START = {"keys"}


@dataclass(frozen=True)
class Moved:
    """There and back; of the questions, the shares that found their document in the first five."""

    before: float
    after: float
    back: float
    #: The recipe that was found or stated.
    text: Mapping[str, Any]


@dataclass(frozen=True)
class Could:
    """It could be moved, says the validation; nobody did."""

    before: float
    text: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """It was not moved, and nothing of it was changed."""

    because: str


Answer = Moved | Could | Refused


@dataclass(frozen=True)
class Filled:
    collection: str
    #: What was embedded, in any order.
    texts: Sequence[str]


def fill(world: World, application: Application) -> Filled:
    """A new collection of the application's, as if it had lain there for years."""
    name = unique_name("a")
    texts = application.fill(Place(world.servers.milvus_url, name, LOCAL_64.dimension))
    world.milvus.flush(name, timeout=4 * rows.TIMEOUT_SECONDS)
    return Filled(name, texts)


def look(world: World, application: Application, filled: Filled, **stated: Any) -> Answer:
    """Register it and have the change validated."""
    at_start = {name: stated.pop(name) for name in AT_START & stated.keys()}
    bot = _registered(world, filled.collection, stated)
    if isinstance(bot, Refused):
        return bot
    wish = {**LOCAL_256.model_dump(), **at_start}
    found = expect(200, bot.api.post(bot.where("validate-change"), wish))
    if not found["compatible"]:
        _removed(bot)
        return Refused(" ".join(error["message"] for error in found["errors"]))
    return Could(share_found(world, application, bot, application.stored), bot.row()["text"])


def move(world: World, application: Application, filled: Filled, **stated: Any) -> Answer:
    """All the way and back, where it is not refused; ``stated`` is said when it is asked for."""
    collection = filled.collection
    at_start = {name: stated.pop(name) for name in AT_START & stated.keys()}
    bot = _registered(world, collection, stated)
    if isinstance(bot, Refused):
        return bot
    untouched = contents(world, collection)
    before = share_found(world, application, bot, application.stored)
    run = bot.start(LOCAL_256, **at_start)
    ended = run.wait_finished(PATIENCE_SECONDS)
    if ended["status"] == "rolled_back":
        assert untouched == contents(world, collection)
        assert (collection, LOCAL_64) == bot.pair()
        _removed(bot)
        return Refused(" ".join(error["message"] for error in ended["errors"]))
    assert "completed" == ended["status"], ended
    live, embedding = bot.pair()
    assert LOCAL_256 == embedding
    assert_embedded_again(untouched, contents(world, live), filled.texts)
    application.write(place(world, application, bot), WRITTEN_LATER)
    everything = [*application.stored, *WRITTEN_LATER]
    after = share_found(world, application, bot, everything)
    assert after >= ENOUGH * before, (before, after)

    run.roll_back().ends("completed", PATIENCE_SECONDS)
    assert (collection, LOCAL_64) == bot.pair()
    again = contents(world, collection)
    assert untouched == {said: again.get(said) for said in untouched}
    assert len(everything) == len(again), "what was written to the new one came along"
    back = share_found(world, application, bot, everything)
    assert back >= ENOUGH * before, (before, back)
    return Moved(before, after, back, bot.row()["text"])


def _registered(world: World, collection: str, stated: Mapping[str, Any]) -> BotHandle | Refused:
    wish = {"bot_id": unique_name("bot"), "collection": collection, **stated}
    model = {"provider": LOCAL_64.provider, "model": LOCAL_64.model}
    answer = world.owner.post("/bots", {**wish, **model})
    if answer.status == 422:
        return Refused(answer.body["detail"])
    made = expect(201, answer)
    return BotHandle(world.owner, made["bot_id"], made["alias"], collection, LOCAL_64, History({}))


def _removed(bot: BotHandle) -> None:
    """So that the collection can be registered once more."""
    expect(200, bot.api.delete(f"/bots/{bot.bot_id}"))


def place(world: World, application: Application, bot: BotHandle) -> Place:
    """Where the application works now; its configuration has the new model, if there is one."""
    collection, embedding = bot.pair()
    if application.reads_alias:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while rows.points_to(world.milvus, bot.alias) != collection:
            assert time.monotonic() < deadline, f"{bot.alias} never led to {collection}"
            time.sleep(0.2)
        collection = bot.alias
    return Place(world.servers.milvus_url, collection, embedding.dimension)


def share_found(
    world: World, application: Application, bot: BotHandle, documents: Sequence[Document]
) -> float:
    """Of questions that are a part of a document, how many find it among the first five."""
    questions = [document.question for document in documents]
    answers = application.search(place(world, application, bot), questions)
    hits = sum(d.number in found for d, found in zip(documents, answers, strict=True))
    return hits / len(documents)


def assert_embedded_again(
    old: Mapping[str, list[float]], new: Mapping[str, list[float]], texts: Sequence[str]
) -> None:
    """Each row stands in the new collection with the new model's vector of its own text."""
    assert old.keys() == new.keys()
    before = rows.embedded(LOCAL_64, texts)
    nearest = (np.array([*old.values()]) @ before.T).argmax(axis=1)
    assert np.allclose([*old.values()], before[nearest], atol=1e-5), "what was embedded is known"
    expected = rows.embedded(LOCAL_256, texts)[nearest]
    assert np.allclose([new[said] for said in old], expected, atol=1e-5)


def contents(world: World, collection: str) -> dict[str, list[float]]:
    """The vector of each row by all else it holds; keys that Milvus gives are left out."""
    described = world.milvus.describe_collection(collection)
    kinds = {field["name"]: field["type"].name for field in described["fields"]}
    (key,) = (field for field in described["fields"] if field.get("is_primary"))
    (vector, *_) = (name for name, kind in kinds.items() if kind == "FLOAT_VECTOR")
    wanted = [n for n, kind in kinds.items() if kind == "FLOAT_VECTOR" or "VECTOR" not in kind]
    is_text = kinds[key["name"]] == "VARCHAR"
    found = world.milvus.query(
        collection,
        filter=f'{key["name"]} >= ""' if is_text else f"{key['name']} > -1",
        output_fields=[*wanted, *(["$meta"] if described["enable_dynamic_field"] else [])],
        limit=1000,
        consistency_level="Strong",
        timeout=rows.TIMEOUT_SECONDS,
    )
    left_out = {vector, *([key["name"]] if key.get("auto_id") else [])}
    by_content: dict[str, list[float]] = {}
    for row in found:
        said = {name: value for name, value in row.items() if name not in left_out}
        written = json.dumps(
            said, sort_keys=True, default=lambda floats: [float(x) for x in floats]
        )
        by_content[written] = [float(x) for x in row[vector]]
    assert len(found) == len(by_content), "a row stands twice"
    return by_content
