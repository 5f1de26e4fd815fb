"""Workers of the fake state store."""

from __future__ import annotations

from datetime import timedelta

from migrations.model.workers import Worker, WorkerNote
from tests.fakes.state_rows import StateRows, WorkerRow


class FakeWorkers(StateRows):
    def note_worker(self, note: WorkerNote) -> None:
        with self._transaction() as now:
            known = self._workers.get(note.id)
            self._workers[note.id] = WorkerRow(note, known.started_at if known else now, now)

    def forget_worker(self, worker_id: str) -> None:
        with self._transaction():
            self._workers.pop(worker_id, None)

    def forget_silent_workers(self, after_seconds: float) -> int:
        with self._transaction() as now:
            last = now - timedelta(seconds=after_seconds)
            silent = [i for i, row in self._workers.items() if row.heartbeat_at < last]
            for worker_id in silent:
                del self._workers[worker_id]
            return len(silent)

    def workers(self) -> list[Worker]:
        with self._transaction() as now:
            rows = self._workers.values()
            return [
                Worker(
                    **{name: value for name, value in vars(row.note).items() if name != "clock"},
                    started_at=row.started_at,
                    heartbeat_at=row.heartbeat_at,
                    silent_seconds=(now - row.heartbeat_at).total_seconds(),
                    clock_ahead_seconds=(row.note.clock - row.heartbeat_at).total_seconds(),
                )
                for row in sorted(rows, key=lambda row: (row.note.name, row.started_at))
            ]
