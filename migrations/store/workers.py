"""Workers: one row for each main process, written over every few seconds by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Float, bindparam, cast, delete, extract, literal, select
from sqlalchemy.dialects.postgresql import insert

from migrations.model.workers import TaskAtWork, Worker, WorkerNote
from migrations.store.engine import Database
from migrations.store.guarded import PLAINLY
from migrations.store.records import WorkerRecord, clock


class SqlWorkers:
    """Implements :class:`migrations.ports.worker_store.WorkerStore`."""

    _database: Database

    def note_worker(self, note: WorkerNote) -> None:
        said = {name: value for name, value in vars(note).items() if name != "clock"}
        said |= {"queues": list(note.queues), "work": [_told(at) for at in note.work]}
        self._database.execute_alone(_NOTE, {**said, "its_clock": note.clock})

    def forget_worker(self, worker_id: str) -> None:
        ended = delete(WorkerRecord).where(WorkerRecord.id == worker_id)
        with self._database.transaction() as session:
            session.execute(ended, execution_options=PLAINLY)

    def forget_silent_workers(self, after_seconds: float) -> int:
        last = clock() - timedelta(seconds=after_seconds)
        silent = delete(WorkerRecord).where(WorkerRecord.heartbeat_at < last)
        with self._database.transaction() as session:
            forgotten = session.execute(silent.returning(literal(1)), execution_options=PLAINLY)
            return len(forgotten.all())

    def workers(self) -> list[Worker]:
        silent = cast(extract("epoch", clock() - WorkerRecord.heartbeat_at), Float)
        wanted = select(WorkerRecord, silent).order_by(WorkerRecord.name, WorkerRecord.started_at)
        with self._database.reading() as session:
            return [_as_worker(row, float(seconds)) for row, seconds in session.execute(wanted)]


def _note() -> Any:
    its_clock = bindparam("its_clock", type_=DateTime(timezone=True))
    ahead = cast(extract("epoch", its_clock - clock()), Float)
    spoke = {"heartbeat_at": clock(), "clock_ahead_seconds": ahead}
    first = insert(WorkerRecord).values(
        **{name: bindparam(name) for name in _SAID}, **spoke, started_at=clock()
    )
    again = {name: first.excluded[name] for name in (*_SAID[1:], *spoke)}
    return first.on_conflict_do_update(index_elements=["id"], set_=again)


_SAID = ("id", "name", "host", "pid", "queues", "version", "work")
#: Made once, because every worker says it every few seconds.
_NOTE = _note()


def _told(at: TaskAtWork) -> dict[str, Any]:
    migration = None if at.migration_id is None else str(at.migration_id)
    return {"task": at.task, "migration_id": migration, "count": at.count}


def _as_worker(row: WorkerRecord, silent_seconds: float) -> Worker:
    work = (
        TaskAtWork(at["task"], at["migration_id"] and UUID(at["migration_id"]), at["count"])
        for at in row.work
    )
    return Worker(
        id=row.id,
        name=row.name,
        host=row.host,
        pid=row.pid,
        queues=tuple(row.queues),
        version=row.version,
        work=tuple(work),
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
        silent_seconds=silent_seconds,
        clock_ahead_seconds=row.clock_ahead_seconds,
    )
