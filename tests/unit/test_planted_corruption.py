"""Twelve kinds of corruption between data migration and verification, with a real model's vectors.

120 passages, which the sample holds all: what a larger collection's sample sees stands in
docs/operations/verification.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devstack.corpus import Passage, python_corpus
from devstack.provider import vector_for
from migrations.adapters.providers.catalogue import LOCAL_PROVIDER
from migrations.adapters.providers.local import LocalEmbedder, LocalModel
from migrations.model.chunks import Embedded, IndexState
from migrations.model.config import EmbeddingRef
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.model.texts import FieldRecipe, TemplateRecipe
from migrations.proof.not_compared import checks_of
from tests.fakes.embedders import LOCAL_64, LOCAL_256, FakeEmbedders
from tests.fakes.world import ALIAS, OWNER, SOURCE, World

ROWS, TEAMS = 120, 5
_MODEL = LocalModel()


def embedded(texts: Sequence[str], ref: EmbeddingRef = LOCAL_256) -> Any:
    return LocalEmbedder(ref, _MODEL).embed(texts).vectors


@cache
def passages() -> list[Passage]:
    reference = python_corpus(Path("no library"))  # whose sources take a while to parse
    return reference[: 4 * ROWS : 4]


class RealEmbedders(FakeEmbedders):
    """The provider "local" answers with the model itself."""

    def answer(self, ref: EmbeddingRef, texts: Sequence[str]) -> Embedded:
        answer = super().answer(ref, texts)
        if ref.provider != LOCAL_PROVIDER:
            return answer
        return replace(answer, vectors=embedded(texts, ref))


class RealWorld(World):
    metric = "COSINE"
    recipe: Any = FieldRecipe(field="text")
    #: What is put before each text when it is embedded.
    prefix = ""

    def _seed(self) -> None:
        vectors = embedded([self.prefix + p.text for p in passages()], LOCAL_64)
        rows = [
            {"pk": key_of(i), "text": p.text, "team": f"team {i % TEAMS}", "page": i % 3}
            for i, p in enumerate(passages())
        ]
        seeded = [{**row, "vector": v} for row, v in zip(rows, vectors, strict=True)]
        self.vectors.seed(SOURCE, seeded, LOCAL_64.dimension, ALIAS, metric=self.metric)
        wish = BotRegistration("bot", ALIAS, LOCAL_64.provider, LOCAL_64.model, recipe=self.recipe)
        self.system.register_bot(OWNER, wish)

    # --- what is done to the target behind everybody's back ---

    def vector(self, target: str, key: str) -> Any:
        return self.vectors._held(target).rows[key].vector

    def set_vector(self, target: str, key: str, vector: Any) -> None:
        rows = self.vectors._held(target).rows
        rows[key] = rows[key]._replace(vector=np.asarray(vector, dtype=np.float32))

    def embed_all(self, target: str, text_of: Callable[[dict[str, Any]], str]) -> None:
        rows = self.vectors._held(target).rows
        vectors = embedded([text_of(row.fields) for row in rows.values()])
        for key, vector in zip(list(rows), vectors, strict=True):
            self.set_vector(target, str(key), vector)


class InnerProduct(RealWorld):
    metric = "IP"


class Prefixed(RealWorld):
    """A bot whose texts were embedded with a prefix, as its recipe says."""

    prefix = "passage: "

    def __post_init__(self) -> None:
        self.recipe = TemplateRecipe(template="passage: {text}")
        super().__post_init__()


def key_of(number: int) -> str:
    return f"k{number:03}"


def row(world: World, target: str, key: str) -> dict[str, Any]:
    return dict(world.vectors._held(target).rows[key].fields)


def verified(world: RealWorld, plant: Callable[[Any, str], object]) -> Migration:
    """As far as the run gets by itself, when this was planted before its verification."""
    request = StartRequest(
        "bot",
        LOCAL_256.provider,
        LOCAL_256.model,
        LOCAL_256.dimension,
        retry_delay=0.0,
        timeout_seconds=300,
    )
    migration = world.system.start_migration(OWNER, request).migration
    world.deliver(before="migrations.catch_up")
    # So that catching up compares, and flushes: what is missing later is no loss of Milvus.
    world.vectors.put(SOURCE, {**row(world, SOURCE, "k001"), "page": 7, "vector": first_vector()})
    world.deliver(before="migrations.phase.verification")
    plant(world, migration.target_collection)
    world.settle(rounds=400)
    return world.now(migration)


@cache
def first_vector() -> Any:
    return embedded([passages()[1].text], LOCAL_64)[0]


def swap(world: RealWorld, target: str) -> None:
    one, other = world.vector(target, "k010"), world.vector(target, "k011")
    world.set_vector(target, "k010", other)
    world.set_vector(target, "k011", one)


def take_the_team(world: RealWorld, target: str) -> None:
    """The recipe names the wrong column, the target is filled with it, and both agree."""
    bot = world.bot
    world.store._bots[bot.bot_id] = replace(bot, recipe=FieldRecipe(field="team"))
    world.embed_all(target, lambda fields: str(fields["team"]))


def scale(world: RealWorld, target: str) -> None:
    lengths = np.random.default_rng(1).uniform(0.8, 1.2, ROWS)
    for i, length in enumerate(lengths):
        world.set_vector(target, key_of(i), world.vector(target, key_of(i)) * length)


def leave_the_index(world: RealWorld, target: str) -> None:
    world.vectors.index_state = lambda name: IndexState(ROWS, 0)  # type: ignore[method-assign]


def drop_a_partition(world: RealWorld, target: str) -> None:
    for i in range(0, ROWS, 3):
        world.vectors.remove(target, key_of(i))


def with_text(world: RealWorld, target: str) -> None:
    world.vectors.put(
        target, {**row(world, target, "k010"), "text": "x", "vector": embedded(["x"])[0]}
    )


def with_row(world: RealWorld, target: str) -> None:
    world.vectors.put(
        target, {**row(world, target, "k010"), "pk": "zzz", "vector": embedded(["x"])[0]}
    )


#: What is planted, in which world, and the check that finds it; None: the run cannot go on.
PLANTED: dict[str, tuple[type[RealWorld], Callable[[Any, str], object], str | None]] = {
    "a missing row": (RealWorld, lambda w, t: w.vectors.remove(t, "k010"), "content"),
    "an extra row": (RealWorld, with_row, "content"),
    "a changed text": (RealWorld, with_text, "content"),
    "two vectors swapped": (RealWorld, swap, "vectors_of_their_text"),
    "NaN": (RealWorld, lambda w, t: w.set_vector(t, "k010", [np.nan] * 256), "vectors"),
    "zeros": (RealWorld, lambda w, t: w.set_vector(t, "k010", [0.0] * 256), "vectors"),
    "a vector of another model": (
        RealWorld,
        lambda w, t: w.set_vector(t, "k010", vector_for("other", passages()[10].text, 256)),
        "vectors_of_their_text",
    ),
    "a column mistaken for the text": (RealWorld, take_the_team, "neighbourhoods"),
    "a missing prefix": (
        Prefixed,
        lambda w, t: w.embed_all(t, lambda fields: str(fields["text"])),
        "vectors_of_their_text",
    ),
    "unnormalised vectors under IP": (InnerProduct, scale, "lengths"),
    "an index not built": (
        RealWorld,
        leave_the_index,
        None,
    ),
    "a partition missing": (RealWorld, drop_a_partition, "content"),
}


def world_for(kind: str) -> RealWorld:
    made = PLANTED[kind][0]
    settings = {"unindexed_rows": 0} if kind == "an index not built" else {}
    return made(embedders=RealEmbedders(), settings=settings)


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_found_before_the_switch(kind: str) -> None:
    world = world_for(kind)
    migration = verified(world, PLANTED[kind][1])
    assert SOURCE == world.bot.live.collection
    assert migration.status in {Status.ROLLED_BACK, Status.WAITING}
    finder = PLANTED[kind][2]
    if finder is None:
        assert "index is being built" in (migration.error or {})["message"]
    else:
        assert finder in [check.name for check in checks_of(migration) if not check.passed]


def test_a_column_mistaken_for_the_text_is_found_by_no_check_that_embeds_it() -> None:
    """Why neighbourhoods are compared by stored vectors: the others share the mistake."""
    migration = verified(world_for("a column mistaken for the text"), take_the_team)
    found = {check.name: check.passed for check in checks_of(migration)}
    assert found["vectors_of_their_text"]
    assert found["content"]
    assert not found["neighbourhoods"]
    assert not found["distinct_vectors"]


@pytest.mark.parametrize("made", [RealWorld, InnerProduct, Prefixed])
def test_the_same_run_without_it_passes(made: type[RealWorld]) -> None:
    world = made(embedders=RealEmbedders())
    migration = verified(world, lambda w, t: None)
    assert Status.COMPLETED == migration.status, migration.error or migration.decision
    assert [] == [check.name for check in checks_of(migration) if not check.passed]
