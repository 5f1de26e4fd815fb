"""One batch: stored before it is marked, paid for once, stopped when it has lost its right."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.embedding.embed import embed
from migrations.model.chunks import KeyRange
from migrations.model.errors import CheckpointsUnavailable, InvalidVectors, StateStoreUnavailable
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.ports.checkpoints import Counters
from migrations.run.run import Run
from tests.fakes.embedders import LARGE
from tests.fakes.state_store import FakeMigrationStore
from tests.fakes.world import OWNER, SOURCE, World, kill

FIRST = KeyRange(None, "k002")


def planned(world: World, **changes: object) -> Migration:
    """The next tasks are the batches of the first waves."""
    migration = world.start_at(Phase.DATA_MIGRATION, **changes)
    world.work(world.pending().pop())
    world.pending()
    return migration


def paid(world: World) -> dict[str, int]:
    """How often each of the chunks' texts was embedded by the target's model."""
    return {
        text: times
        for (model, text), times in world.embedders.embedded.items()
        if model == LARGE.model and not text.startswith("reembed asks")
    }


def test_a_batch_moves_its_range_and_nothing_else() -> None:
    world = World()
    migration = planned(world)
    outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert {"outcome": "done", "processed": 3, "failed": 0, "skipped": 0, "tokens": 6} == outcome
    assert ["k000", "k001", "k002"] == sorted(world.texts_of(migration.target_collection))


def test_rows_are_stored_before_their_batch_is_marked() -> None:
    world = World()
    migration = planned(world)
    seen: list[tuple[int, int]] = []

    def look() -> None:
        stored = len(world.texts_of(migration.target_collection))
        seen.append((stored, world.checkpoints.done_count(migration.id)))

    with world.at("batch.before_mark", look):
        world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert [(3, 0)] == seen
    assert 1 == world.checkpoints.done_count(migration.id)


@pytest.mark.parametrize("point", ["batch.after_upsert", "batch.before_mark"])
def test_a_batch_that_dies_between_storing_and_marking_pays_nothing_when_redone(point: str) -> None:
    world = World()
    migration = planned(world, verify_migration=False)
    with world.at(point, kill):
        world.work(world.queue.pop(0))
    world.queue.clear()
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert {1} == set(paid(world).values())


def test_a_batch_that_dies_between_paying_and_storing_pays_once_more_and_no_other_does() -> None:
    world = World()
    planned(world, verify_migration=False)
    with world.at("batch.before_upsert", kill):
        world.settle()
    again = [text for text, times in paid(world).items() if times == 2]
    assert ["text 0", "text 1", "text 2"] == sorted(again)


class AwayForAMoment(FakeMigrationStore):
    """PostgreSQL is away when the first bill is to be written down."""

    outages = 1

    def record_spend(self, *about: Any, **more: Any) -> None:
        if self.outages and "data_migration" in about:
            self.outages -= 1
            raise StateStoreUnavailable
        super().record_spend(*about, **more)


def test_an_answer_is_not_paid_for_again_because_postgresql_was_away() -> None:
    world = World(store_class=AwayForAMoment)
    migration = planned(world)
    outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert ("done", 0) == (outcome["outcome"], world.store.outages)
    assert {1} == set(paid(world).values())


def test_a_batch_that_could_not_be_marked_finds_its_own_rows_when_it_is_repeated() -> None:
    world = World()
    migration = planned(world)
    with world.at("batch.before_mark", fall_out):
        outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert ("done", 3) == (outcome["outcome"], outcome["skipped"])
    assert {1} == set(paid(world).values())


def fall_out() -> None:
    raise CheckpointsUnavailable


def test_a_batch_that_was_done_is_not_done_again() -> None:
    world = World()
    migration = planned(world)
    world.conductor.run_batch(migration.id, 1, 0, FIRST)
    calls = world.embedders.calls
    outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert {"outcome": "done_before"} == outcome
    assert calls == world.embedders.calls


def test_a_batch_that_somebody_else_holds_is_left_to_them() -> None:
    world = World()
    migration = planned(world)
    with world.checkpoints.lease(migration.id, 1, 0, seconds=60):
        outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert {"outcome": "taken"} == outcome
    assert {} == paid(world)


def test_a_doubled_batch_at_the_same_moment_is_paid_for_once() -> None:
    world = World()
    migration = planned(world)
    outcomes: list[object] = []

    def at_the_same_moment() -> None:
        outcomes.append(world.conductor.run_batch(migration.id, 1, 0, FIRST)["outcome"])

    with world.at("data_migration.before_call", lambda: world.elsewhere(at_the_same_moment)):
        outcomes.append(world.conductor.run_batch(migration.id, 1, 0, FIRST)["outcome"])
    assert ["taken", "done"] == outcomes
    assert {1} == set(paid(world).values())


@pytest.mark.parametrize("point", ["batch.before_read", "data_migration.before_call"])
def test_a_cancel_before_the_call_stops_the_batch_before_the_provider_is_asked(
    point: str,
) -> None:
    world = World()
    migration = planned(world)
    calls = world.embedders.calls
    with world.at(point, lambda: world.system.cancel(OWNER, "bot")):
        outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert {"outcome": "superseded"} == outcome
    assert calls == world.embedders.calls


def test_a_cancel_after_the_call_stops_the_batch_before_it_stores() -> None:
    world = World()
    migration = planned(world)
    with world.at("batch.before_upsert", lambda: world.system.cancel(OWNER, "bot")):
        outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert {"outcome": "superseded"} == outcome
    assert {} == world.texts_of(migration.target_collection)


def test_a_batch_planned_anew_meanwhile_is_not_marked_with_the_old_range() -> None:
    world = World()
    migration = planned(world)

    def plan_anew() -> None:
        world.checkpoints.start_plan(migration.id, 5)
        world.checkpoints.append_borders(migration.id, ["k004", "k009", "k011"], 12)
        world.checkpoints.seal_plan(migration.id)

    with world.at("batch.before_mark", plan_anew):
        outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert {"outcome": "checkpoints_lost"} == outcome
    assert 0 == world.checkpoints.done_count(migration.id)
    world.settle()
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)


def test_a_large_batch_is_noted_at_least_every_hundred_chunks() -> None:
    world = World(250)
    migration = planned(world, batch_size=250)
    noted: list[int] = []

    def look() -> None:
        noted.append(world.checkpoints.counters(migration.id).processed)

    with world.at("batch.before_upsert", look, look, look):
        world.deliver(before="migrations.advance")
    assert [0, 100, 200] == noted
    assert Counters(processed=250, tokens=world.checkpoints.counters(migration.id).tokens) == (
        world.checkpoints.counters(migration.id)
    )


def test_equal_texts_are_embedded_once_and_stored_each() -> None:
    world = World(["same", "same", "other"])
    migration = planned(world)
    world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert {"same": 1, "other": 1} == paid(world)
    assert [] == world.wrongly_embedded(migration.target_collection, LARGE)


def test_after_the_first_epoch_only_what_the_target_lacks_is_paid_for() -> None:
    world = World()
    migration = planned(world)
    world.conductor.run_batch(migration.id, 1, 0, FIRST)
    world.store.redrive(migration.id, 1)
    world.checkpoints.start_plan(migration.id, 6)
    world.checkpoints.append_borders(migration.id, ["k005"], 6)
    outcome = world.conductor.run_batch(migration.id, 2, 0, KeyRange(None, "k005"))
    assert (6, 3) == (outcome["processed"], outcome["skipped"])
    assert {1} == set(paid(world).values())


def test_a_text_changed_since_it_was_stored_is_not_taken_for_held() -> None:
    world = World()
    migration = planned(world)
    world.conductor.run_batch(migration.id, 1, 0, FIRST)
    world.write("k001", "changed")
    world.store.redrive(migration.id, 1)
    world.checkpoints.lose_everything()
    world.checkpoints.start_plan(migration.id, 3)
    world.checkpoints.append_borders(migration.id, ["k002"], 3)
    world.conductor.run_batch(migration.id, 2, 0, FIRST)
    assert "changed" == world.texts_of(migration.target_collection)["k001"]


# --- chunks that the provider refuses ---------------------------------------------------------


def test_a_poison_chunk_is_found_by_halving_and_its_neighbours_migrate() -> None:
    world = World(["good"] + [f"text {i}" for i in range(48)] + ["poison"])
    world.embedders.refuse("poison")
    migration = planned(world, batch_size=50, max_failed_ratio=0.1)
    calls = world.embedders.calls
    world.deliver(before="migrations.advance")
    assert 49 == len(world.texts_of(migration.target_collection))
    assert world.embedders.calls - calls <= 2 * 6 + 1 + 2, "and twice a text of our own"
    failed = world.store.failed_chunks(migration.id)
    assert [("k049", "text-refused")] == [(chunk.key, chunk.code) for chunk in failed]
    assert 1 == world.checkpoints.counters(migration.id).failed


def test_a_batch_of_nothing_but_poison_ends_normally() -> None:
    world = World(["poison 1", "poison 2", "poison 3"])
    world.embedders.refuse("poison")
    migration = planned(world, unproven_text=True)  # the old model refuses them as well
    outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert ("done", 0, 3) == (outcome["outcome"], outcome["processed"], outcome["failed"])
    assert 3 == world.store.count_failed_chunks(migration.id)


def test_an_empty_text_is_a_failed_chunk_like_any_other() -> None:
    world = World(["", "text 1", "text 2"])
    migration = planned(world, max_failed_ratio=0.5)
    world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert ["k000"] == [chunk.key for chunk in world.store.failed_chunks(migration.id)]
    assert 2 == len(world.texts_of(migration.target_collection))


def test_a_nonsensical_answer_is_asked_for_again_before_the_batch_is_halved() -> None:
    world = World()
    migration = planned(world)
    world.embedders.fail(InvalidVectors())
    calls = world.embedders.calls
    world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert calls + 2 == world.embedders.calls
    assert 3 == len(world.texts_of(migration.target_collection))


def test_what_is_embedded_keeps_its_place() -> None:
    world = World()
    run: Run = world.run_of(planned(world))
    chunks = run.services.vectors.read(run.source, FIRST)
    outcome = embed(run, [chunks[2], chunks[0], chunks[2]], purpose="test")
    assert ["k002", "k000", "k002"] == [chunk.key for chunk in outcome.chunks]
    assert (3, LARGE.dimension) == outcome.vectors.shape
    assert (outcome.vectors[0] == outcome.vectors[2]).all()


def test_every_token_that_was_billed_is_in_the_ledger() -> None:
    world = World()
    migration = planned(world)
    before = world.store.tokens_used(migration.id)
    outcome = world.conductor.run_batch(migration.id, 1, 0, FIRST)
    assert outcome["tokens"] == world.store.tokens_used(migration.id) - before
