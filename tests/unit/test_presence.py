"""A worker says that it is there, what it reads and what it is at."""

from __future__ import annotations

from uuid import UUID

import pytest
from celery import Celery

from migrations.model import task_names as names
from migrations.model.states import Phase
from migrations.model.workers import ALL_QUEUES, Crew, TaskAtWork
from migrations.process.at_hand import AtHand
from migrations.process.presence import Presence
from migrations.watchdog import WORKERS_KEPT_SECONDS
from tests.fakes.world import World
from worker.base import MigrationTask, at_hand

RUN = UUID("9d3f0f5e-6f0e-4a55-9a0c-3f0b6c1f7a11")


@pytest.fixture
def world() -> World:
    return World()


def presence_in(world: World, *queues: str, at: AtHand | None = None) -> Presence:
    return Presence(world.services, "batch@here", lambda: queues, at or AtHand())


def test_it_says_which_queues_it_reads_and_at_what_it_is(world: World) -> None:
    hand = AtHand()
    with hand.at(names.BATCH, str(RUN)), hand.at(names.BATCH, str(RUN)):
        presence_in(world, names.BATCH, at=hand).speak()
    (worker,) = world.store.workers()
    assert ("batch@here", (names.BATCH,)) == (worker.name, worker.queues)
    assert (TaskAtWork(names.BATCH, RUN, 2),) == worker.work
    assert (2, Phase.DATA_MIGRATION) == (worker.batches_of(RUN), worker.work[0].phase)


def test_it_says_so_as_soon_as_it_has_started_and_not_after_its_end(world: World) -> None:
    presence = presence_in(world, names.BATCH)
    presence.speak()
    assert 1 == len(world.store.workers())
    presence.end()
    presence.speak()
    assert [] == world.store.workers()


def test_one_that_is_ending_reads_no_queue_any_more(world: World) -> None:
    world.services.ending.set()
    presence_in(world, names.BATCH).speak()
    assert [()] == [one.queues for one in world.store.workers()]


def test_a_state_store_that_is_away_ends_no_worker(world: World) -> None:
    presence = presence_in(world, names.BATCH)
    world.store.reachable = False
    presence.speak()
    presence.end()


def test_one_that_died_is_seen_to_be_silent_and_is_forgotten_later(world: World) -> None:
    presence_in(world, names.BATCH).speak()
    world.clock.sleep(60)
    world.watchdog.forget_workers()
    crew = Crew(tuple(world.store.workers()), 12)
    assert (1, ()) == (len(crew.workers), crew.alive)
    world.clock.sleep(WORKERS_KEPT_SECONDS)
    world.watchdog.judge()
    assert [] == world.store.workers()


def test_a_queue_that_nobody_alive_reads_is_told(world: World) -> None:
    presence_in(world, *ALL_QUEUES[:-1]).speak()
    crew = Crew(tuple(world.store.workers()), 12)
    assert (1, 0) == (crew.reading(names.CONTROL_QUEUE), crew.reading(ALL_QUEUES[-1]))
    assert (ALL_QUEUES[-1],) == crew.unread()


def test_a_task_is_at_hand_while_it_runs_whatever_comes_of_it() -> None:
    seen: list[tuple[TaskAtWork, ...]] = []
    app = Celery(broker="memory://", task_cls=MigrationTask)

    @app.task(name=names.BATCH)
    def batch(migration_id: str) -> None:
        seen.append(at_hand.work())
        raise ArithmeticError

    for some_id in (str(RUN), "no id"):
        with pytest.raises(ArithmeticError):
            batch(migration_id=some_id)
    assert [(TaskAtWork(names.BATCH, RUN, 1),), (TaskAtWork(names.BATCH, None, 1),)] == seen
    assert () == at_hand.work()


@pytest.mark.parametrize(
    ("task", "phase"),
    [
        (names.phase_task(Phase.VERIFICATION), Phase.VERIFICATION),
        (names.undo_task(Phase.NEW_COLLECTION_CREATION), Phase.NEW_COLLECTION_CREATION),
        (names.ADVANCE, Phase.DATA_MIGRATION),
        (names.APPLY_JOURNAL, None),
    ],
)
def test_a_task_tells_of_its_phase(task: str, phase: Phase | None) -> None:
    assert phase == TaskAtWork(task, RUN, 1).phase
