"""A trial moves some chunks, says what verification would, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from migrations.model.answers import Trial
from migrations.model.bots import Caller
from migrations.model.chunks import Embedded, stacked
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    BotNotFound,
    ProviderAuthenticationFailed,
    SameModel,
    TextTooLong,
    VectorStoreRefused,
)
from migrations.model.golden import GoldenQuery
from migrations.model.report import Check
from migrations.model.requests import TrialRequest
from migrations.proof.sampled_source import SampledSource
from migrations.watchdog import ORPHANS_EVERY_SECONDS
from tests.fakes.embedders import FakeEmbedders
from tests.fakes.world import OWNER, SOURCE, WorkerKilled, World

BAD_KEY = ProviderAuthenticationFailed("bad key")
SCRATCH = "live__tried"
TEXTS = [f"The {i}th way to mend a thing is to leave it alone until {i} o'clock" for i in range(80)]


def trial(world: World, **wish: Any) -> Trial:
    request = {"bot_id": "bot", "provider": "fake", "model": "large", "chunks": 60, **wish}
    return world.manager.trial(OWNER, TrialRequest(**request))


def checks(found: Trial) -> dict[str, Check]:
    return {check.name: check for check in found.report.checks}


@pytest.mark.parametrize("kind", ["texts", "in_a_table", "keys_are_given"])
def test_a_trial_judges_some_chunks_and_leaves_everything_as_it_was(kind: str) -> None:
    given = {"keys_are_given": True, "key_of": int} if kind == "keys_are_given" else {}
    world = World(TEXTS, in_a_table=kind == "in_a_table", **given)
    before, bot = world.texts_of(SOURCE), world.bot
    found = trial(world)
    assert (80, 60, 60) == (found.chunks, found.sampled, found.moved)
    assert [] == [check.message for check in found.report.errors]
    assert {"texts", "target_schema", "content", "neighbourhoods", "retrieval"} <= set(
        checks(found)
    )
    assert {"parts_of_texts", "golden_queries"} <= set(checks(found))
    assert [SOURCE] == world.vectors.names()
    assert (before, bot) == (world.texts_of(SOURCE), world.bot)
    assert world.store.latest("bot") is None


def test_a_model_that_tells_no_text_from_another_fails_the_gates_of_verification() -> None:
    class Alike(FakeEmbedders):
        """Of the new model all vectors are the same."""

        def answer(self, ref: EmbeddingRef, texts: Sequence[str], *args: Any) -> Embedded:
            given = super().answer(ref, texts, *args)
            if ref.model == "large":
                given.vectors[:] = given.vectors[0]
            return given

    found = trial(World(TEXTS, embedders=Alike()))
    assert {"distinct_vectors", "retrieval"} <= {check.name for check in found.report.gates}


def test_what_a_trial_asks_is_an_errands_and_stands_in_the_ledger_as_a_trial() -> None:
    world, purposes = World(TEXTS), []
    record = world.store.record_errand

    def recorded(*args: Any) -> None:
        purposes.append(args[4])
        record(*args)

    world.store.record_errand = recorded  # type: ignore[method-assign]
    billed = world.embedders.billed
    found = trial(world)
    assert world.embedders.billed - billed == found.tokens > 0
    assert {"trial"} == set(purposes)
    assert found.tokens == world.store.tokens_of_errands("bot") - billed
    assert (0.0, 80) == (found.cost_usd, found.whole.chunks)
    assert found.whole.tokens > 0


def test_of_a_golden_query_the_relevant_chunks_are_among_those_that_are_moved() -> None:
    world = World(TEXTS)
    relevant = [f"k{i:03}" for i in range(70, 80)]
    queries = [GoldenQuery(key, TEXTS[int(key[1:])], (key, "gone")) for key in relevant]
    world.store.set_golden_queries("bot", queries)
    found = checks(trial(world, chunks=20))
    assert 10 == found["golden_queries"].details["queries"]
    assert (0.5, 0.5) == tuple(found["golden_recall"].details[at] for at in ("before", "after"))


def test_texts_that_the_model_refuses_are_counted_and_the_others_are_judged() -> None:
    world = World(TEXTS)
    world.embedders.fail(TextTooLong("too long"), times=None, containing="The 7th", model="large")
    found = trial(world, chunks=80)
    assert (80, 79) == (found.sampled, found.moved)
    assert {"text-too-long": 1} == checks(found)["texts"].details["refused"]
    assert not checks(found)["texts"].passed
    assert checks(found)["content"].passed


def test_a_collection_that_milvus_does_not_make_is_a_finding_and_one_of_others_is_left() -> None:
    world = World(TEXTS)
    world.vectors.fail("create_like", VectorStoreRefused("no such index"))
    found = trial(world)
    assert ["no such index"] == [check.message for check in found.report.errors]
    world.vectors.seed(SCRATCH, [{"pk": "a", "text": "theirs"}], 8)
    assert ["foreign-collection"] == [c.details["code"] for c in trial(world).report.errors]
    assert {"a": "theirs"} == world.texts_of(SCRATCH)


def test_a_trial_that_ends_in_the_middle_leaves_nothing() -> None:
    world = World(TEXTS)
    world.vectors.before("load", lambda: world.embedders.fail(BAD_KEY, times=None, model="large"))
    with pytest.raises(ProviderAuthenticationFailed):
        trial(world)
    assert [SOURCE] == world.vectors.names()


def test_what_a_killed_trial_has_left_is_dropped_by_a_watchdog_with_its_keys() -> None:
    world = World(TEXTS, keys_are_given=True, key_of=int)

    def die() -> None:
        raise WorkerKilled

    world.vectors.before("load", die)
    world.vectors.before("drop", die)  # nobody is there to do it
    with pytest.raises(WorkerKilled):
        trial(world)
    assert [SCRATCH, SOURCE] == sorted(world.vectors.names())
    world.clock.sleep(ORPHANS_EVERY_SECONDS)
    world.watchdog.drop_orphans()
    assert [SOURCE] == world.vectors.names()
    assert 60 == trial(world).moved


def test_a_trial_without_the_old_model_says_what_could_not_be_compared() -> None:
    world = World(TEXTS)
    world.embedders.fail(BAD_KEY, times=None, model="small")
    found = trial(world)
    assert [] == found.report.errors
    assert "Parts of texts were not asked for" in checks(found)["parts_of_texts"].message
    assert checks(found)["neighbourhoods"].details["compared"]


def test_a_trial_of_what_the_bot_has_and_of_a_bot_of_somebody_elses_is_refused() -> None:
    world = World(TEXTS)
    with pytest.raises(SameModel):
        trial(world, model="small")
    with pytest.raises(BotNotFound):
        world.manager.trial(Caller("rival"), TrialRequest("bot", "fake", "large"))


@pytest.mark.parametrize("metric", ["COSINE", "IP", "L2"])
def test_the_old_side_is_asked_as_milvus_would_be(metric: str) -> None:
    world = World(TEXTS)
    schema = replace(world.vectors.describe(SOURCE), metric=metric)
    rows = world.vectors.fetch(schema, [f"k{i:03}" for i in range(80)], with_vectors=True)
    vectors = stacked(rows[:9], 8)
    asked = {"limit": 5, "output_fields": ["text"]}
    expected = world.vectors.search(schema, vectors, **asked)
    actual = SampledSource(world.vectors, schema, rows).search(schema, vectors, **asked)
    assert [[hit.key for hit in hits] for hits in expected] == [
        [hit.key for hit in hits] for hits in actual
    ]
    scores = [[[h.score for h in hits] for hits in answer] for answer in (expected, actual)]
    assert np.allclose(scores[0], scores[1], atol=1e-5)
