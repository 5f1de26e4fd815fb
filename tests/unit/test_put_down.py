"""A worker is asked to end: what waits is put down for another one, what need not wait is done."""

from __future__ import annotations

from math import inf
from uuid import UUID

import pytest

from migrations.model import task_names as names
from migrations.model.errors import ProviderUnavailable, PutDown, VectorStoreUnavailable
from migrations.model.runs import Migration, RunnerLease
from migrations.model.states import Phase, Status
from tests.fakes.state_store import AwayAtTheBeginning
from tests.fakes.world import OWNER, SOURCE, World

MOVED = Phase.DATA_MIGRATION


def ending(world: World) -> None:
    world.services.ending.set()


def completes_elsewhere(world: World, migration_id: UUID) -> None:
    """Another worker takes it up, and it is the same run, never failed and never driven again."""
    assert world.services.ending.is_set()
    world.services.ending.clear()
    world.deliver()
    now = world.store.migration(migration_id)
    assert (Status.COMPLETED, 1) == (now.status, now.epoch)
    assert world.texts_of(SOURCE) == world.texts_of(now.target_collection)


def put_down_in_verification(world: World) -> Migration:
    migration = world.start_at(Phase.VERIFICATION)
    with world.at("verification.before_run", lambda: ending(world)), pytest.raises(PutDown):
        world.pending()[0].call()
    return migration


@pytest.mark.parametrize("phase", list(Phase))
def test_a_phase_that_waits_is_put_down(phase: Phase) -> None:
    world = World()
    migration = world.start_at(phase)

    def away() -> None:
        ending(world)
        raise VectorStoreUnavailable

    with world.at(f"{phase}.before_run", away), pytest.raises(PutDown):
        world.pending()[0].call()
    completes_elsewhere(world, migration.id)


def test_a_phase_is_put_down_where_it_looks_without_waiting() -> None:
    world = World()
    migration = put_down_in_verification(world)
    assert Status.RUNNING == world.now(migration).status
    completes_elsewhere(world, migration.id)


def test_who_takes_a_phase_up_need_not_wait_for_the_lease_of_who_put_it_down() -> None:
    world = World()
    migration = put_down_in_verification(world)
    assert world.store.take_lease(RunnerLease(migration.id, 1), "somebody else", 60)


def test_catching_up_is_put_down() -> None:
    world = World()
    migration = world.start()
    world.deliver(before=names.CATCH_UP)
    with world.at("catch_up.before_run", lambda: ending(world)), pytest.raises(PutDown):
        world.pending()[0].call()
    completes_elsewhere(world, migration.id)


def test_a_batch_that_need_not_wait_is_done() -> None:
    world = World()
    migration = world.start_at(MOVED)
    world.work(world.pending().pop())
    with world.at("batch.before_read", lambda: ending(world)):
        outcome = world.pending().pop(0).call()
    assert "done" == outcome["outcome"]
    assert 3 == len(world.texts_of(migration.target_collection))


def test_a_batch_that_waits_is_put_down_and_its_wave_waits_for_it() -> None:
    world = World()
    migration = world.start_at(MOVED, verify_migration=False)
    world.work(world.pending().pop())
    world.embedders.fail(ProviderUnavailable())
    with world.at("data_migration.before_call", lambda: ending(world)), pytest.raises(PutDown):
        world.pending()[0].call()
    completes_elsewhere(world, migration.id)
    paid = {text: n for (model, text), n in world.embedders.embedded.items() if model == "large"}
    assert {1} == set(paid.values())


def test_an_undo_that_waits_is_put_down_and_not_recorded_as_failed() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.system.cancel(OWNER, "bot")
    world.deliver(before=names.undo_task(Phase.NEW_COLLECTION_CREATION))
    world.vectors.fail("drop", VectorStoreUnavailable())
    ending(world)
    with pytest.raises(PutDown):
        world.pending()[0].call()
    world.services.ending.clear()
    world.deliver()
    now = world.now(migration)
    assert (Status.ROLLED_BACK, {}) == (now.status, now.undo_errors)


def test_waiting_for_batches_in_flight_is_put_down() -> None:
    world = World()
    migration = world.start_at(MOVED)
    world.work(world.pending().pop())
    with world.checkpoints.lease(migration.id, 1, 0, seconds=1000):
        world.system.cancel(OWNER, "bot")
        ending(world)
        begun = world.clock.monotonic()
        with pytest.raises(PutDown):
            world.conductor.quiesce(migration.id, 2)
    assert begun == world.clock.monotonic()


def test_waiting_for_postgresql_before_a_phase_is_put_down() -> None:
    world = World(store_class=AwayAtTheBeginning)
    migration = world.start_at(Phase.BACKUP_CREATION)
    world.store.refused_beginnings = inf
    ending(world)
    with pytest.raises(PutDown):
        world.pending()[0].call()
    world.store.refused_beginnings = 0
    completes_elsewhere(world, migration.id)
