"""Everything that takes a migration off its way: cancelling, failing, undoing, driving again."""

from __future__ import annotations

from uuid import UUID

from migrations.lifecycle import backward
from migrations.model.errors import ReembedError
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.store.engine import Database
from migrations.store.guarded import apply, lock_run
from migrations.store.starts import one_live_migration


class SqlRollbacks:
    """Implements :class:`migrations.ports.rollback_store.RollbackStore`."""

    _database: Database

    def request_cancel(self, migration_id: UUID, by: str) -> Migration:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = backward.request_cancel(locked, by)
            return apply(session, locked, change) if change is not None else locked.migration

    def roll_back(self, migration_id: UUID, epoch: int, error: ReembedError) -> bool:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = backward.roll_back(locked, epoch, error)
            if change is not None:
                apply(session, locked, change)
            return change is not None

    def record_undo(self, migration_id: UUID, epoch: int, phase: Phase, error: str | None) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            apply(session, locked, backward.record_undo(locked, epoch, phase, error))

    def finish_rollback(self, migration_id: UUID, epoch: int) -> Status:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = backward.finish_rollback(locked, epoch)
            ended = apply(session, locked, change) if change is not None else locked.migration
            return ended.status

    def repair(self, migration_id: UUID) -> Migration:
        with self._database.transaction() as session, one_live_migration():
            locked = lock_run(session, migration_id)
            return apply(session, locked, backward.repair(locked))

    def redrive(self, migration_id: UUID, epoch: int) -> bool:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = backward.redrive(locked, epoch)
            if change is not None:
                apply(session, locked, change)
            return change is not None
