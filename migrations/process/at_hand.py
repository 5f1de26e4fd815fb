"""What a worker is at: its tasks in work, for whoever asks what it does."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from migrations.model.workers import TaskAtWork


class AtHand:
    """Of one process; its threads share it."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, UUID | None]] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def at(self, task: str, migration_id: str | None) -> Iterator[None]:
        """This task is in work for the block; an id that is none of ours is left out."""
        known: UUID | None = None
        with suppress(ValueError, AttributeError, TypeError):
            known = UUID(migration_id) if migration_id is not None else None
        self._count(task, known, 1)
        try:
            yield
        finally:
            self._count(task, known, -1)

    def _count(self, task: str, migration_id: UUID | None, by: int) -> None:
        with self._lock:
            self._counts[task, migration_id] += by
            if not self._counts[task, migration_id]:
                del self._counts[task, migration_id]

    def work(self) -> tuple[TaskAtWork, ...]:
        with self._lock:
            counts = list(self._counts.items())
        return tuple(TaskAtWork(task, of, count) for (task, of), count in counts)
