"""Verification: whatever is planted in the target is found, named, and nothing is switched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from devstack.provider import vector_for
from migrations.copying.difference import Difference
from migrations.model.chunks import ALL_KEYS, Chunk, Content, Embedded, IndexState
from migrations.model.config import EmbeddingRef
from migrations.model.errors import VerificationFailed
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.phases import cleanup, verification
from migrations.proof.right_vectors import KeySample
from migrations.proof.same_content import Findings, compare_content
from tests.fakes.embedders import LARGE, FakeEmbedders
from tests.fakes.world import OWNER, SOURCE, World


def verified(world: World, plant: Callable[[World, str], None]) -> Migration:
    """A migration that was tampered with just before its verification."""
    migration = world.start(batch_size=5)
    world.deliver(before="migrations.catch_up")
    # So that catching up compares, and flushes: what is missing later is no loss of Milvus.
    world.write("k001", "text 1", page=7)
    world.deliver(before="migrations.phase.verification")
    plant(world, migration.target_collection)
    world.settle()
    return world.now(migration)


def vector_of(key: str, vector: object) -> Callable[[World, str], None]:
    def plant(world: World, target: str) -> None:
        fields, _ = world.contents(target)[key]
        world.vectors.put(target, {**fields, "vector": np.asarray(vector, dtype=np.float32)})

    return plant


PLANTED = {
    "missing": (lambda w, t: w.vectors.remove(t, "k003"), "1 missing, 0 different, 0 too many"),
    "extra": (lambda w, t: w.write("zzz", "x", collection=t), "0 missing, 0 different, 1 too many"),
    "another text": (
        lambda w, t: w.write("k003", "another", collection=t),
        "0 missing, 1 different, 0 too many",
    ),
    "another page": (
        lambda w, t: w.write("k003", "text 3", collection=t, page=9),
        "0 missing, 1 different, 0 too many",
    ),
    "NaN": (vector_of("k003", [np.nan] * 16), "not all finite"),
    "zeros": (vector_of("k003", [0.0] * 16), "not all finite, non-zero"),
    "vector of another text": (
        vector_of("k003", vector_for("large", "text 4", 16)),
        "11 of 12 sampled vectors are of their own text",
    ),
    "vector of another model": (
        vector_of("k003", vector_for("small", "text 3", 16)),
        "11 of 12 sampled vectors are of their own text",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_found_and_nothing_is_switched(what: str) -> None:
    plant, sentence = PLANTED[what]
    world = World()
    migration = verified(world, plant)
    assert Status.ROLLED_BACK == migration.status
    assert "verification-failed" == (migration.error or {})["code"]
    assert sentence in (migration.error or {})["message"]
    assert SOURCE == world.bot.live.collection


@pytest.mark.parametrize("shows_one", [True, False])
def test_a_key_that_stands_twice_in_the_target_is_mended(shows_one: bool) -> None:
    """Milvus may forget a deletion it had shown; what it brings back is no reason to go back."""

    def plant(world: World, target: str) -> None:
        world.vectors.shows_one = shows_one
        for key in ("k003", "k005"):
            world.double(key, "what was replaced", collection=target)

    world = World()
    assert Status.COMPLETED == verified(world, plant).status
    live = world.bot.live.collection
    assert 12 == world.vectors.count(live) == len(world.texts_of(live))
    assert "text 3" == world.texts_of(live)["k003"]


def test_a_key_that_stands_twice_does_not_excuse_another_that_differs() -> None:
    def plant(world: World, target: str) -> None:
        world.double("k003", "what was replaced", collection=target)
        world.vectors.remove(target, "k005")

    world = World()
    assert Status.ROLLED_BACK == verified(world, plant).status


def test_a_whole_target_is_verified_with_figures() -> None:
    world = World()
    migration = verified(world, lambda w, t: None)
    assert Status.COMPLETED == migration.status
    names = [check["name"] for check in (migration.verification or {})["checks"]]
    assert [
        "target_ready",
        "schema",
        "vectors",
        "vectors_of_their_text",
        "retrieval",
        "target_count",
        "content",
    ] == names


def test_what_is_verified_would_survive_a_crash_of_the_vector_store() -> None:
    world = World()
    assert Status.COMPLETED == verified(world, lambda w, t: w.vectors.crash()).status


def test_an_empty_collection_is_verified() -> None:
    assert Status.COMPLETED == verified(World(0), lambda w, t: None).status


def test_a_skipped_verification_is_a_warning_and_checks_nothing() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION, verify_migration=False)
    calls = world.embedders.calls
    found = verification.execute(world.run_of(migration))
    assert ["Verification was skipped as asked."] == found.warnings
    assert calls == world.embedders.calls


class Indifferent(FakeEmbedders):
    """The model "flat" gives every text the same vector."""

    def __init__(self) -> None:
        super().__init__({"small": 8, "flat": 16})

    def answer(self, ref: EmbeddingRef, texts: Sequence[str]) -> Embedded:
        answer = super().answer(ref, texts)
        if ref.model != "flat":
            return answer
        return replace(answer, vectors=np.full((len(texts), 16), 0.25, dtype=np.float32))


def test_a_model_that_finds_less_than_before_is_refused() -> None:
    world = World(40, embedders=Indifferent())
    migration = world.complete(model="flat")
    assert Status.ROLLED_BACK == migration.status
    assert "Known-item recall@10: 1.000 before, 0.250 after" in (migration.error or {})["message"]


def retrieval(migration: Migration) -> dict[str, Any]:
    """The check of this name, of a migration that has completed or of one that was refused."""
    found = migration.verification or (migration.error or {})["details"]
    (check,) = [check for check in found["checks"] if check["name"] == "retrieval"]
    return dict(check)


def test_a_chunk_is_found_by_its_own_key_and_not_by_another_of_the_same_text() -> None:
    """Of 40 chunks that all look alike to the new model, the first ten are always found."""
    world = World(["same"] * 35 + [f"text {i}" for i in range(5)], embedders=Indifferent())
    migration = world.complete(model="flat")
    assert Status.ROLLED_BACK == migration.status
    assert "recall@10: 1.000 before, 0.000 after" in (migration.error or {})["message"]


def test_chunks_that_share_their_text_are_not_asked_for_and_told_of() -> None:
    world = World(["same", "same", *[f"text {i}" for i in range(6)]])
    migration = world.complete()
    assert Status.COMPLETED == migration.status
    assert "2 of 8 sampled chunks share their text with another" in retrieval(migration)["message"]
    assert "88% of the texts are distinct" in retrieval(migration)["message"]
    assert (6, 2, 0.875) == tuple(
        retrieval(migration)["details"][name] for name in ("queries", "left_out", "distinct_texts")
    )
    assert () == tuple(migration.warnings)


def test_a_double_that_is_not_in_the_sample_is_noticed_among_the_answers() -> None:
    world = World(["same"] * 12, settings={"verify_sample": 1})
    migration = world.complete()
    assert Status.COMPLETED == migration.status  # one chunk proves nothing either way
    assert "None of 1 sampled chunks has a text of its own" in migration.warnings[0]


def test_few_texts_of_their_own_are_a_warning() -> None:
    world = World(["same"] * 7 + ["one", "two", "three"])
    migration = world.complete()
    assert Status.COMPLETED == migration.status
    (warning,) = migration.warnings
    assert "Only 3 of 10 sampled chunks have a text of their own" in warning


def test_a_collection_without_any_text_of_its_own_is_not_switched() -> None:
    migration = World(["one", "two"] * 6).complete()
    assert Status.ROLLED_BACK == migration.status
    assert "verification-failed" == (migration.error or {})["code"]
    assert "None of 12 sampled chunks has a text of its own" in (migration.error or {})["message"]


# --- the way back -------------------------------------------------------------------


def gone_there_and_back(world: World, meanwhile: Callable[[str], object]) -> Migration:
    there = world.complete()
    assert Status.COMPLETED == there.status, there.error
    meanwhile(there.target_collection)
    back = world.system.rollback(OWNER, there.id).migration
    world.settle()
    return world.now(back)


def test_chunks_that_never_had_the_vector_of_their_text_do_not_bar_the_way_back() -> None:
    world = World()
    for i in range(4):
        vector = vector_for("small", f"title {i}", 8)
        world.vectors.put(SOURCE, {"pk": f"k{i:03}", "text": f"text {i}", "vector": vector})
    before = world.contents(SOURCE)
    back = gone_there_and_back(world, lambda target: None)
    assert Status.COMPLETED == back.status, back.error
    sentence = "8 of 12 sampled vectors are of their own text, as it was before the switch."
    assert [sentence] == list(back.warnings)
    assert before == world.contents(SOURCE)
    assert SOURCE == world.bot.live.collection


def test_texts_that_all_became_equal_after_the_switch_do_not_bar_the_way_back() -> None:
    world = World(4)

    def overwrite(target: str) -> None:
        for i in range(4):
            world.write(f"k{i:03}", "same", collection=target)

    back = gone_there_and_back(world, overwrite)
    assert Status.COMPLETED == back.status, back.error
    assert "None of 4 sampled chunks has a text of its own" in back.warnings[0]
    assert {"same"} == set(world.texts_of(SOURCE).values())


def test_a_kept_collection_whose_vectors_are_mostly_of_other_texts_is_not_gone_back_to() -> None:
    world = World()

    def ruin(target: str) -> None:
        for i in range(8):
            vector = vector_for("small", f"title {i}", 8)
            row = {"pk": f"k{i:03}", "text": f"text {i}", "page": 1, "vector": vector}
            world.vectors.put(SOURCE, row)

    back = gone_there_and_back(world, ruin)
    assert Status.ROLLED_BACK == back.status
    assert "4 of 12 sampled vectors are of their own text." in (back.error or {})["message"]


def test_a_chunk_that_may_be_missing_is_not_reported_as_missing() -> None:
    world = World()
    world.write("k005", "poison")
    world.embedders.refuse("poison")
    assert Status.COMPLETED == world.complete(max_failed_ratio=0.1).status


def test_one_more_missing_than_permitted_is_found() -> None:
    world = World()
    world.write("k005", "poison")
    world.embedders.refuse("poison")
    migration = world.start_at(Phase.VERIFICATION, max_failed_ratio=0.5)
    world.vectors.remove(migration.target_collection, "k006")
    with pytest.raises(VerificationFailed, match="2 missing"):
        verification.execute(world.run_of(migration))


def test_a_count_that_disagrees_with_reading_is_found() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    count = world.vectors.count
    target = migration.target_collection
    world.vectors.count = lambda name, **more: count(name, **more) + (name == target)  # type: ignore[method-assign]
    with pytest.raises(VerificationFailed, match="counts 13 chunks; reading it found 12"):
        verification.execute(world.run_of(migration))


def building(world: World, *unindexed: int) -> None:
    """An index that is built step by step; the last step stays."""
    states = [IndexState(max(12, rows), max(12, rows) - rows) for rows in unindexed]
    following = iter(states)
    world.vectors.index_state = lambda name: next(following, states[-1])  # type: ignore[method-assign]


def test_the_index_of_a_large_target_is_waited_for() -> None:
    world = World(settings={"unindexed_rows": 0})
    migration = world.start_at(Phase.VERIFICATION)
    building(world, 12, 6, 0)
    begun = world.clock.monotonic()
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert 2 == pytest.approx(world.clock.monotonic() - begun)


def test_a_large_target_is_flushed_indexed_and_only_then_loaded_and_read() -> None:
    world = World(settings={"unindexed_rows": 0})
    migration = world.start_at(Phase.VERIFICATION)
    order: list[str] = []
    building(world, 12, 0)
    for call in ("flush", "load", "scan"):
        world.vectors.before(call, partial(order.append, call))
    state_of = world.vectors.index_state

    def index_state(name: str) -> IndexState:
        state = state_of(name)
        order.append(f"{state.unindexed_rows} to go")
        return state

    world.vectors.index_state = index_state  # type: ignore[method-assign]
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert ["flush", "12 to go", "0 to go", "load", "scan"] == order[:5]
    assert world.vectors.is_loaded(migration.target_collection)


@pytest.mark.parametrize(
    ("unindexed_rows", "seconds"), [(26_000, 1.04), (250_000, 10), (50_000_000, 30)]
)
def test_the_more_rows_have_no_index_yet_the_later_it_is_asked_for_again(
    unindexed_rows: int, seconds: float
) -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    building(world, unindexed_rows, 0)
    begun = world.clock.monotonic()
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert seconds == pytest.approx(world.clock.monotonic() - begun)


def test_as_many_rows_as_are_searched_as_fast_without_an_index_are_not_waited_for() -> None:
    world = World(settings={"unindexed_rows": 6})
    migration = world.start_at(Phase.VERIFICATION)
    building(world, 12, 6)
    begun = world.clock.monotonic()
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert 1 == pytest.approx(world.clock.monotonic() - begun)


def test_it_can_be_repeated_and_undone_and_changes_nothing() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    run = world.run_of(migration)
    before = world.contents(SOURCE), world.contents(migration.target_collection)
    first = verification.execute(run)
    verification.undo(run)
    assert first == verification.execute(run)
    assert before == (world.contents(SOURCE), world.contents(migration.target_collection))


def test_no_more_keys_are_remembered_than_permitted_and_the_rest_is_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("migrations.proof.same_content.MOST_REMEMBERED", 3)
    world = World()
    run = world.run_of(world.start_at(Phase.VERIFICATION))
    rows = [Chunk(key, {}) for key in "abcde"]
    now = world.vectors.moment()
    parts = [
        Difference(ALL_KEYS, Content(), extra=rows[:2]),
        Difference(ALL_KEYS, Content(), extra=rows[2:]),
    ]
    first = Findings(0, KeySample(run), now)
    again = Findings(0, KeySample(run), now, first.differing)
    for part in parts:
        first.add(part)
    for part in parts:
        again.add(part)
    assert (5, 0) == (first.extra, first.written_meanwhile)
    assert ["a", "b", "c"] == list(first.differing)
    assert (3, 2) == (again.extra, again.written_meanwhile)


def test_all_reads_of_a_verification_share_one_moment() -> None:
    """On Milvus each of its own would wait for the next tick of the server's clock."""
    world = World(50)
    run = world.run_of(world.start_at(Phase.VERIFICATION))
    before = world.vectors.calls["moment"]
    verification.execute(run)
    assert before + 1 == world.vectors.calls["moment"]


def test_the_sample_is_no_larger_than_asked_and_the_same_each_time() -> None:
    world = World(50, settings={"verify_sample": 7})
    run = world.run_of(world.start_at(Phase.VERIFICATION))
    first = compare_content(run).sample.keys
    assert 7 == len(set(first))
    assert first == compare_content(run).sample.keys


def test_verification_pays_for_its_sample_with_the_target_model() -> None:
    world = World(50, settings={"verify_sample": 7})
    migration = world.start_at(Phase.VERIFICATION)
    texts = world.embedders.texts
    verification.execute(world.run_of(migration))
    assert 7 == world.embedders.texts - texts
    assert LARGE.model == migration.config.to_model


def test_cleaning_up_forgets_the_checkpoints_and_keeps_the_previous_collection() -> None:
    world = World()
    migration = world.start_at(Phase.CLEANUP)
    run = world.run_of(migration)
    cleanup.execute(run)
    cleanup.execute(run)
    cleanup.undo(run)
    assert None is world.checkpoints.plan(migration.id)
    assert world.vectors.exists(SOURCE)
    assert migration.target_collection == world.vectors.resolve_alias("live")
