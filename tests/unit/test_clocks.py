"""PostgreSQL's clock alone judges: a worker or an API hours ahead or behind changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from migrations.conductor import Conductor
from migrations.model.errors import StateStoreUnavailable, TimedOut
from migrations.model.states import Phase, Status
from migrations.process.database_clock import ASKED_EVERY_SECONDS
from migrations.system import EmbeddingMigrationSystem
from migrations.watchdog import Watchdog
from tests.fakes.clock import FakeClock
from tests.fakes.world import OWNER, World

HOUR = 3600.0


class HostsClock(FakeClock):
    """Time passes as in the world's, but the host is wrong about what time it is."""

    def __init__(self, right: FakeClock, wrong_by_hours: float) -> None:
        self._right, self._wrong_by = right, timedelta(hours=wrong_by_hours)

    def now(self) -> datetime:
        return self._right.now() + self._wrong_by

    def sleep(self, seconds: float) -> None:
        self._right.sleep(seconds)

    def monotonic(self) -> float:
        return self._right.monotonic()


@pytest.fixture(params=[2, -2], ids=["two hours ahead", "two hours behind"])
def world(request: pytest.FixtureRequest) -> World:
    """Whose processes are wrong about the time; PostgreSQL is right."""
    world = World(settings={"retention_hours": 1, "hold_hours": 1, "sweep_first_seconds": 3600})
    world.services = replace(world.services, clock=HostsClock(world.clock, request.param))
    world.conductor = Conductor(world.services)
    world.system = EmbeddingMigrationSystem(world.services)
    world.watchdog = Watchdog(world.services)
    return world


def test_a_run_completes_and_nothing_that_is_not_due_is_done_to_what_it_left(
    world: World,
) -> None:
    migration = world.complete()
    world.look_later()
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status, world.now(migration).error
    assert {"swept", "retired"}.isdisjoint(world.told(migration))
    assert [] == world.store.kept_of("bot")


def test_a_deadline_that_has_passed_is_noticed_by_the_worker(world: World) -> None:
    migration = world.start_at(Phase.BACKUP_CREATION, timeout_seconds=60)
    run = world.run_of(migration)
    world.clock.sleep(60)
    run.must_go_on()
    world.clock.sleep(1)
    with pytest.raises(TimedOut):
        run.must_go_on()


def test_the_way_back_is_open_for_as_long_as_the_window_is(world: World) -> None:
    world.complete()
    world.clock.sleep(HOUR - 1)
    assert world.system.status(OWNER, "bot").rollback.ready
    world.clock.sleep(2)
    assert not world.system.status(OWNER, "bot").rollback.ready


def test_progress_is_counted_in_the_time_that_has_passed(world: World) -> None:
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop(0))
    world.work(world.pending().pop(0))
    world.clock.sleep(3)
    now = world.system.progress(OWNER, migration.id)
    assert 1.0 == now.chunks_per_second
    assert 9.0 == (now.estimated_completion - world.clock.now()).total_seconds()  # type: ignore[operator]


# --- how it is asked ------------------------------------------------------------------


def test_it_is_carried_on_in_between_and_while_postgresql_is_away(world: World) -> None:
    assert world.clock.now() == world.services.now()
    world.store.reachable = False
    world.clock.sleep(ASKED_EVERY_SECONDS + 1)
    assert world.clock.now() == world.services.now()


def test_who_has_never_heard_it_does_not_guess(world: World) -> None:
    migration = world.start_at(Phase.BACKUP_CREATION, timeout_seconds=60)
    run = world.run_of(migration)
    world.services.__dict__.pop("database_clock", None)
    world.store.reachable = False
    world.clock.sleep(61)
    with pytest.raises(StateStoreUnavailable):
        world.services.now()
    run.must_go_on()
