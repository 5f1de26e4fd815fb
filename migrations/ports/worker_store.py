"""The workers in the authority: who is there, and at what."""

from __future__ import annotations

from typing import Protocol

from migrations.model.workers import Worker, WorkerNote


class WorkerStore(Protocol):
    def note_worker(self, note: WorkerNote) -> None:
        """It is there, and this is what it says; the first time, it has started."""
        ...

    def forget_worker(self, worker_id: str) -> None:
        """It has ended."""
        ...

    def forget_silent_workers(self, after_seconds: float) -> int:
        """Forget whoever has not spoken for longer, by the database's clock; how many."""
        ...

    def workers(self) -> list[Worker]:
        """Everyone who is known, by name and start."""
        ...
