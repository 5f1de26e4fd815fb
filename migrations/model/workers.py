"""Workers as they say of themselves that they are there, and what they are at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from migrations.model import task_names as names
from migrations.model.states import Phase

#: Every queue that somebody must read for all migrations to go on.
ALL_QUEUES = (names.CONTROL_QUEUE, *names.BATCH_QUEUES)

_PHASES = {task(phase): phase for phase in Phase for task in (names.phase_task, names.undo_task)}
_PHASES |= dict.fromkeys((names.BATCH, names.ADVANCE, names.CATCH_UP), Phase.DATA_MIGRATION)


@dataclass(frozen=True)
class TaskAtWork:
    """So many tasks of one name that a worker is at, for a migration or for none."""

    task: str
    migration_id: UUID | None
    count: int

    @property
    def phase(self) -> Phase | None:
        """Which phase of the migration that belongs to; None for what belongs to none."""
        return _PHASES.get(self.task)


@dataclass(frozen=True)
class WorkerNote:
    """What a worker's main process says of itself, every few seconds."""

    #: Its own, from start to end: two workers may have one name, and a host starts anew.
    id: str
    #: Celery's, e.g. ``batch@host``.
    name: str
    host: str
    pid: int
    #: Those it takes from; none while it is ending.
    queues: tuple[str, ...]
    #: Of reembed.
    version: str
    #: What time its host has.
    clock: datetime
    work: tuple[TaskAtWork, ...] = ()


@dataclass(frozen=True)
class Worker:
    """What it said last, and how long ago that was by PostgreSQL's clock."""

    id: str
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    version: str
    work: tuple[TaskAtWork, ...]
    started_at: datetime
    heartbeat_at: datetime
    silent_seconds: float
    #: How far its host's clock was ahead of PostgreSQL's when it spoke; negative: behind.
    clock_ahead_seconds: float

    def batches_of(self, migration_id: UUID) -> int:
        """Batches of this migration that it has in work."""
        return sum(
            at.count
            for at in self.work
            if (at.task, at.migration_id) == (names.BATCH, migration_id)
        )


@dataclass(frozen=True)
class Crew:
    """All workers that are known, of which those are alive that spoke lately enough."""

    workers: tuple[Worker, ...]
    #: Silence after which a worker counts as gone.
    silent_after_seconds: float

    @property
    def alive(self) -> tuple[Worker, ...]:
        return tuple(one for one in self.workers if self.is_alive(one))

    def is_alive(self, worker: Worker) -> bool:
        return worker.silent_seconds <= self.silent_after_seconds

    def reading(self, queue: str) -> int:
        """How many are alive and take from this queue."""
        return sum(queue in one.queues for one in self.alive)

    def unread(self, queues: Iterable[str] = ALL_QUEUES) -> tuple[str, ...]:
        """Those of the queues that nobody takes from."""
        return tuple(queue for queue in queues if not self.reading(queue))
