"""What a late worker leaves behind is dropped, and nothing that is somebody's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.watchdog import ORPHANS_EVERY_SECONDS
from migrations.way_back.kept import LOOK_FOR_SECONDS
from tests.fakes.world import OWNER, SOURCE, World


def undone(**settings: float) -> tuple[World, Migration]:
    """A run that was cancelled and undone after its data had been migrated."""
    world = World(settings=settings)
    migration = world.start_at(Phase.VERIFICATION)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    return world, world.now(migration)


def made_late(world: World, migration: Migration, tag: str | None = None) -> str:
    """The creation of a worker that did not live to notice that its epoch is gone."""
    source, name = world.vectors.describe(SOURCE), migration.target_collection
    world.vectors.create_like(source, name, 16, tag or migration.tag)
    return name


def look_for_orphans(world: World) -> None:
    world.clock.sleep(ORPHANS_EVERY_SECONDS)
    world.watchdog.drop_orphans()


def test_a_collection_that_a_dead_worker_made_late_is_dropped() -> None:
    world, migration = undone()
    name = made_late(world, migration)
    look_for_orphans(world)
    assert not world.vectors.exists(name)


def test_the_watchdog_asks_now_and_then_only() -> None:
    world, migration = undone()
    world.clock.sleep(ORPHANS_EVERY_SECONDS)
    world.watchdog.look()
    name = made_late(world, migration)
    world.watchdog.look()
    assert world.vectors.exists(name)


def test_what_is_held_for_the_next_run_is_kept() -> None:
    world, migration = undone(hold_hours=24)
    assert world.store.kept(migration.target_collection)
    look_for_orphans(world)
    assert world.vectors.exists(migration.target_collection)


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda world, name: world.vectors.point_alias("readers", name), id="alias"),
        pytest.param(lambda world, name: world.clock.sleep(LOOK_FOR_SECONDS), id="long ago"),
    ],
)
def test_what_somebody_may_be_reading_or_what_is_old_is_kept(
    happens: Callable[[World, str], None],
) -> None:
    world, migration = undone()
    name = made_late(world, migration)
    happens(world, name)
    look_for_orphans(world)
    assert world.vectors.exists(name)


def test_what_another_made_is_kept() -> None:
    world, migration = undone()
    name = made_late(world, migration, tag="somebody else's")
    look_for_orphans(world)
    assert world.vectors.exists(name)


def test_the_target_of_the_run_that_took_it_over_is_kept() -> None:
    world, first = undone(hold_hours=24)
    second = world.start_at(Phase.VERIFICATION)
    assert first.target_collection == second.target_collection
    look_for_orphans(world)
    assert world.vectors.exists(second.target_collection)


def test_a_reverse_run_that_was_cancelled_leaves_the_kept_collection_alone() -> None:
    world = World()
    forward = world.complete()
    world.system.rollback(OWNER, forward.id)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    look_for_orphans(world)
    assert world.vectors.exists(SOURCE)
