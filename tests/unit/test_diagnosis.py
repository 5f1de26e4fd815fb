"""What is wrong is said in a sentence, with what to do about it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from migrations.diagnosis.health import FRESH_SECONDS, Found, Health
from migrations.diagnosis.lookout import STALE_SECONDS, Lookout
from migrations.diagnosis.one_run import TIMES
from migrations.model.chunks import IndexState
from migrations.model.errors import (
    NoAnswer,
    VectorStoreLoginRefused,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.model.findings import Severity, warning
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.model.task_names import BATCH_QUEUES
from migrations.ports.watch_store import SchemaRevision
from migrations.process.briefly import Briefly
from tests.fakes.clock import FakeClock
from tests.fakes.workers import BATCH, CONTROL, crewed, says
from tests.fakes.world import OWNER, World


@pytest.fixture
def world() -> World:
    return crewed(World())


def codes(world: World) -> list[str]:
    return [one.code for one in Lookout(world.services).found().findings]


def messages(world: World) -> str:
    return " ".join(one.message for one in Lookout(world.services).found().findings)


def test_nothing_is_wrong_when_everything_answers_and_somebody_works(world: World) -> None:
    assert [] == codes(world)


# --- workers ----------------------------------------------------------------------


def test_that_nobody_works_is_said_and_since_when() -> None:
    world = World()
    assert ["no-worker"] == codes(world)
    crewed(world)
    world.clock.sleep(43)
    assert ["no-worker"] == codes(world)
    assert "The last one has been silent for 40 s." in messages(world)


def test_that_nobody_takes_batches_is_said() -> None:
    world = World()
    says(world, CONTROL)
    assert ["no-batch-worker"] == codes(world)


def test_that_nobody_takes_control_messages_is_said() -> None:
    world = World()
    says(world, BATCH)
    assert ["no-control-worker"] == codes(world)


def test_a_queue_that_nobody_reads_is_named(world: World) -> None:
    says(world, replace(BATCH, queues=BATCH_QUEUES[:-1]))
    assert ["queue-unread"] == codes(world)
    assert f"Nobody reads {BATCH_QUEUES[-1]}:" in messages(world)


@pytest.mark.parametrize(("ahead", "said"), [(600.0, "600 s ahead of"), (-90.0, "90 s behind")])
def test_a_worker_s_clock_that_is_off_is_said_with_its_direction(
    world: World, ahead: float, said: str
) -> None:
    says(world, BATCH, ahead_seconds=ahead)
    assert ["clock-off"] == codes(world)
    assert f"a worker's host is {said} PostgreSQL's" in messages(world)


def test_the_clock_of_this_host_is_compared_with_postgresql_s(world: World) -> None:
    class Wrong(FakeClock):
        def here(self) -> datetime:
            return world.clock.now() + timedelta(hours=2)

    world.services = replace(world.services, clock=Wrong())
    assert ["clock-off"] == codes(world)
    assert "the API's host is 7200 s ahead of PostgreSQL's" in messages(world)


# --- services ---------------------------------------------------------------------


def test_a_redis_that_evicts_is_a_warning(world: World) -> None:
    world.checkpoints.evicts_by = "allkeys-lru"
    (found,) = Lookout(world.services).found().findings
    assert ("redis-evicts", Severity.WARNING) == (found.code, found.severity)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
        ("MISCONF Redis is configured to save RDB snapshots", "Free the disk"),
        ("READONLY You can't write against a read only replica.", "primary"),
        ("NOPERM this user has no permissions", "may do"),
    ],
)
def test_a_redis_that_takes_no_writes_is_said_with_what_helps(
    world: World, words: str, remedy: str
) -> None:
    world.checkpoints.refuses_by = words
    (found,) = Lookout(world.services).found().findings
    assert ("redis-refuses-writes", True) == (found.code, words in found.message)
    assert remedy in found.remedy


def test_a_redis_whose_memory_is_short_is_a_warning(world: World) -> None:
    world.checkpoints.well = replace(world.checkpoints.well, memory_share=0.97)
    (found,) = Lookout(world.services).found().findings
    assert ("redis-memory-short", "97%") == (found.code, found.message.split()[3])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VectorStoreUnavailable("Milvus is away."), "milvus-away"),
        (NoAnswer("No answer within 1 s."), "milvus-away"),
        (VectorStoreLoginRefused("auth check failure"), "milvus-login"),
        (VectorStoreRefused("no"), "milvus-refuses"),
    ],
)
def test_a_milvus_that_does_not_answer_is_told_by_why(
    world: World, error: Exception, code: str
) -> None:
    world.vectors.fail("ping", error)
    assert [code] == codes(world)


def test_services_that_are_away_are_named_each(world: World) -> None:
    world.checkpoints.reachable = world.store.reachable = False
    assert ["postgresql-away", "redis-away"] == codes(world)


@pytest.mark.parametrize(
    ("revision", "code", "severity"),
    [
        (SchemaRevision("0001", "0002", is_known=True), "schema-behind", Severity.ERROR),
        (SchemaRevision("0003", "0002", is_known=False), "schema-ahead", Severity.WARNING),
    ],
)
def test_a_schema_of_another_version_is_said(
    world: World, revision: SchemaRevision, code: str, severity: Severity
) -> None:
    world.store.revision = revision
    (found,) = Lookout(world.services).found().findings
    assert (code, severity) == (found.code, found.severity)


# --- one migration ------------------------------------------------------------------


def driven_in_vain(world: World, times: int) -> Migration:
    """Whoever takes it up dies; nothing has moved since."""
    migration = world.start_at(Phase.DATA_MIGRATION)
    for _ in range(times):
        world.queue.clear()
        world.clock.sleep(13)
        crewed(world)
        world.watchdog.look()
    return world.now(migration)


def found_of(world: World, migration: Migration) -> list[str]:
    return [one.code for one in world.system.progress(OWNER, migration.id).findings]


def test_an_epoch_that_rises_without_progress_is_said(world: World) -> None:
    migration = driven_in_vain(world, TIMES)
    assert TIMES + 1 == migration.epoch
    assert ["in-circles"] == found_of(world, migration)


def test_an_epoch_that_has_risen_twice_is_no_news(world: World) -> None:
    assert [] == found_of(world, driven_in_vain(world, TIMES - 1))


def test_who_comes_further_each_time_does_not_go_in_circles(world: World) -> None:
    migration = driven_in_vain(world, TIMES)
    world.store.note(migration.id, migration.epoch, totals={"processed_chunks": 7})
    world.clock.sleep(13)
    crewed(world)
    world.watchdog.look()
    assert [] == found_of(world, world.now(migration))


def test_that_nobody_has_spoken_of_it_is_said_when_workers_are_alive(world: World) -> None:
    migration = world.start()
    world.clock.sleep(30)
    crewed(world)
    assert ["nobody-at-it"] == found_of(world, migration)


def test_workers_of_before_say_nothing_of_themselves_and_are_heard_by_their_work() -> None:
    world = World()
    migration = world.start_at(Phase.BACKUP_CREATION)
    assert [] == found_of(world, migration)
    world.clock.sleep(13)
    assert ["no-worker"] == found_of(world, migration)


def test_of_a_migration_that_has_ended_nothing_is_said(world: World) -> None:
    migration = world.complete()
    world.clock.sleep(3600)
    assert Status.COMPLETED == world.now(migration).status
    assert [] == found_of(world, migration)
    assert ["no-worker"] == [one.code for one in world.system.status(OWNER, "bot").findings]


def test_an_index_that_stands_still_is_said_and_is_the_reason_in_the_end() -> None:
    world = crewed(World(settings={"unindexed_rows": 0}))
    migration = world.start_at(Phase.VERIFICATION)
    said: list[str | None] = []

    def stuck(_: str) -> IndexState:
        said.append(world.system.progress(OWNER, migration.id).waiting_for)
        return IndexState(12, 0)

    world.vectors.index_state = stuck  # type: ignore[method-assign]
    world.deliver()
    told = "The target's index is being built: 12 rows to go."
    assert told == said[-1]
    assert (Status.ROLLED_BACK, True) == (
        world.now(migration).status,
        told in (world.now(migration).error or {})["message"],
    )


def test_progress_and_status_say_the_same(world: World) -> None:
    migration = world.start()
    world.checkpoints.evicts_by = "allkeys-lru"
    assert ["redis-evicts"] == found_of(world, migration)
    assert ["redis-evicts"] == [one.code for one in world.system.status(OWNER, "bot").findings]


# --- how it is asked ----------------------------------------------------------------


class Service:
    def __init__(self) -> None:
        self.asked = 0
        self.well = threading.Event()
        self.well.set()
        self.answered = threading.Event()

    def answer(self) -> list[object]:
        self.asked += 1
        self.well.wait(20)
        self.answered.set()
        return []


@pytest.fixture
def service() -> Service:
    return Service()


def health_of(service: Service, clock: FakeClock, patience: float = 20.0) -> Health:
    probe: Callable[[], list] = service.answer  # type: ignore[type-arg] # of nothing
    return Health({"redis": (Briefly(patience), probe)}, clock.monotonic)


def test_all_who_ask_within_a_second_share_one_look(service: Service) -> None:
    clock = FakeClock()
    health = health_of(service, clock)
    assert [Found({"redis": None})] * 2 == [health.found() for _ in range(2)]
    assert 1 == service.asked
    clock.sleep(FRESH_SECONDS)
    health.found()
    assert 2 == service.asked


def test_who_watches_does_not_wait_for_a_service_that_hangs(service: Service) -> None:
    clock = FakeClock()
    health = health_of(service, clock)
    health.found()
    service.answered.clear()
    service.well.clear()
    clock.sleep(STALE_SECONDS - 1)
    assert {"redis": None} == health.lately(STALE_SECONDS).dependencies
    service.well.set()
    assert service.answered.wait(20)


def test_a_service_that_hangs_is_said_to_once_its_time_is_over(service: Service) -> None:
    health = health_of(service, FakeClock(), patience=0.01)
    service.well.clear()
    found = health.lately(STALE_SECONDS)
    service.well.set()
    assert ["redis-away"] == [one.code for one in found.findings]
    assert "No answer within 0.01 s." in str(found.dependencies["redis"])


def test_what_only_warns_is_no_error() -> None:
    found = Found(findings=[warning("w", "It may be.", "Look.")])
    assert [] == found.errors
