"""Workers that have said that they are there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from migrations.model.task_names import BATCH_QUEUES, CONTROL_QUEUE
from migrations.model.workers import WorkerNote
from tests.fakes.world import World

CONTROL = WorkerNote("c", "control@a", "a", 11, (CONTROL_QUEUE,), "1.0", clock=None)  # type: ignore[arg-type] # see says
BATCH = WorkerNote("b", "batch@b", "b", 12, BATCH_QUEUES, "1.0", clock=None)  # type: ignore[arg-type] # see says


def says(world: World, note: WorkerNote, *, ahead_seconds: float = 0.0) -> None:
    """A worker whose host's clock is so far ahead of PostgreSQL's."""
    clock = world.store.now() + timedelta(seconds=ahead_seconds)
    world.store.note_worker(replace(note, clock=clock))


def crewed(world: World) -> World:
    """With a worker for either kind of work, who speak once."""
    for note in (CONTROL, BATCH):
        says(world, note)
    return world
