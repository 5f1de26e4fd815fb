"""From messages to canvases."""

from __future__ import annotations

from uuid import UUID, uuid4

from celery import Celery

from migrations.adapters.broker.dispatch import celery_canvas
from migrations.model import messages
from migrations.model import task_names as names
from migrations.model.chunks import KeyRange

APP = Celery("test", set_as_current=False)
BATCHES = [(index, KeyRange(index, index + 1)) for index in range(3)]


def queues_of_a_wave(migration_id: UUID, place: int) -> set[str]:
    wave = celery_canvas(APP, messages.wave(migration_id, 1, 0, BATCHES, place))
    return {task.options["queue"] for task in wave.tasks}


def test_migrations_that_run_at_the_same_time_stand_in_different_lines() -> None:
    lines = [queues_of_a_wave(uuid4(), place) for place in range(len(names.BATCH_QUEUES))]
    assert [{name} for name in names.BATCH_QUEUES] == lines


def test_with_more_migrations_than_lines_some_share_one() -> None:
    lines = len(names.BATCH_QUEUES)
    assert queues_of_a_wave(uuid4(), 1) == queues_of_a_wave(uuid4(), lines + 1)


def test_what_follows_a_wave_does_not_stand_in_line_with_batches() -> None:
    wave = celery_canvas(APP, messages.wave(uuid4(), 1, 0, BATCHES, 1))
    assert names.CONTROL_QUEUE == wave.body.options["queue"]
