"""Waves: a bounded number in flight, each opened once, and the last one starts catching up."""

from __future__ import annotations

import random
from typing import Any

import pytest

from migrations.model import task_names as names
from migrations.model.errors import CheckpointsUnavailable
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.states import Phase, Status
from migrations.model.texts import FieldRecipe
from tests.fakes.embedders import SMALL
from tests.fakes.world import OWNER, SOURCE, World

OPEN = {"wave_size": 2, "waves_in_flight": 2}


def opened(world: World) -> None:
    """Ten batches in five waves; the first of each lane has been sent."""
    world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop())
    world.pending()


def batches(world: World) -> list[int]:
    return [task.part for task in world.pending() if task.name == names.BATCH]


def work_next(world: World, name: str) -> None:
    tasks = world.pending()
    world.work(tasks.pop(next(i for i, task in enumerate(tasks) if task.name == name)))


def test_one_wave_of_each_lane_is_open_at_first() -> None:
    world = World(30, settings=OPEN)
    opened(world)
    assert [0, 1, 2, 3] == batches(world)


def test_a_wave_that_ends_opens_the_next_of_its_lane() -> None:
    world = World(30, settings=OPEN)
    opened(world)
    for name in [names.BATCH, names.BATCH, names.ADVANCE]:
        work_next(world, name)
    assert [2, 3, 4, 5] == batches(world)


def test_migrations_that_run_at_the_same_time_have_places_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(settings={"max_concurrent_migrations": 3})
    sent: list[tuple[str, int]] = []
    send = world.dispatcher.send

    def note(message: dict[str, Any]) -> None:
        if message["kind"] == "wave":
            sent.append((message["migration_id"], message["place"]))
        send(message)

    monkeypatch.setattr(world.dispatcher, "send", note)
    world.vectors.seed("other", [{"pk": "a", "text": "one"}], SMALL.dimension)
    world.system.register_bot(
        OWNER, BotRegistration("other", "other", "fake", "small", recipe=FieldRecipe(field="text"))
    )
    first = world.start()
    second = world.system.start_migration(OWNER, StartRequest("other", "fake", "large")).migration
    world.deliver()
    assert {(str(first.id), 0), (str(second.id), 1)} >= set(sent)
    assert (str(first.id), 0) in sent


@pytest.mark.parametrize("seed", range(20))
def test_never_more_batches_are_in_flight_than_two_waves_hold(seed: int) -> None:
    world = World(40, settings=OPEN)
    opened(world)
    chooser = random.Random(seed)
    most = 0
    while tasks := world.pending():
        most = max(most, len(batches(world)))
        world.work(tasks.pop(chooser.randrange(len(tasks))))
    assert 4 == most
    assert Status.COMPLETED == world.store.latest("bot").status


def test_a_doubled_advance_opens_nothing_twice() -> None:
    world = World(60, settings=OPEN)
    opened(world)
    for name in [names.BATCH, names.BATCH]:
        work_next(world, name)
    advance = next(task for task in world.pending() if task.name == names.ADVANCE)
    world.pending().append(advance)
    for name in [names.ADVANCE, names.ADVANCE]:
        work_next(world, name)
    assert [2, 3, 4, 5] == batches(world)


def test_a_lost_advance_is_made_up_for_when_the_run_is_driven_again() -> None:
    world = World(30, settings=OPEN)
    opened(world)
    world.deliver(before=names.ADVANCE)
    world.queue.clear()
    world.settle()
    assert Status.COMPLETED == world.store.latest("bot").status
    assert 10 == world.ran.count(names.BATCH)


def test_a_lost_batch_is_made_up_for_when_the_run_is_driven_again() -> None:
    world = World(30, settings=OPEN)
    opened(world)
    world.queue.pop(1)
    world.settle()
    migration = world.store.latest("bot")
    assert Status.COMPLETED == migration.status
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)


def test_catching_up_starts_once_and_only_after_the_last_batch() -> None:
    world = World(30, settings=OPEN)
    opened(world)
    world.deliver()
    last = max(i for i, name in enumerate(world.ran) if name == names.BATCH)
    assert 1 == world.ran.count(names.CATCH_UP)
    assert world.ran.index(names.CATCH_UP) > last


def test_a_lane_that_ends_early_leaves_the_end_to_the_other() -> None:
    world = World(12, settings=OPEN)
    opened(world)
    for name in [names.BATCH, names.BATCH, names.ADVANCE]:
        work_next(world, name)
    assert names.CATCH_UP not in [task.name for task in world.pending()]
    world.deliver()
    assert Status.COMPLETED == world.store.latest("bot").status


def test_an_empty_plan_goes_straight_to_catching_up() -> None:
    world = World(0, settings=OPEN)
    opened(world)
    assert [names.CATCH_UP] == [task.name for task in world.pending()]


def test_a_wave_that_could_not_be_sent_is_sent_by_a_later_epoch() -> None:
    world = World(30, settings=OPEN)
    migration = world.start_at(Phase.DATA_MIGRATION)
    send, failing = world.dispatcher.send, iter([True])

    def broken_once(message: dict[str, object]) -> None:
        if next(failing, False):
            raise CheckpointsUnavailable
        send(message)

    world.dispatcher.send = broken_once  # type: ignore[method-assign]
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_a_wave_done_before_is_not_sent_again() -> None:
    world = World(30, settings=OPEN)
    opened(world)
    for name in [names.BATCH, names.BATCH]:
        work_next(world, name)
    world.queue.clear()
    world.look_later()
    work_next(world, names.phase_task(Phase.DATA_MIGRATION))
    assert [2, 3, 4, 5] == sorted(batches(world))
