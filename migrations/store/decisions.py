"""Runs that wait before their switch."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select

from migrations.lifecycle import decision
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.store.engine import Database
from migrations.store.guarded import apply, has_status, lock_run
from migrations.store.records import MigrationRecord, as_migration, clock


class SqlDecisions:
    """Implements :class:`migrations.ports.decision_store.DecisionStore`."""

    _database: Database

    def accept(self, migration_id: UUID, by: str, reason: str | None) -> Migration:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = decision.accept(locked, by, reason)
            return apply(session, locked, change) if change is not None else locked.migration

    def waiting(self, since_seconds: float) -> list[Migration]:
        long_ago = MigrationRecord.heartbeat_at < clock() - timedelta(seconds=since_seconds)
        wanted = select(MigrationRecord).where(has_status(Status.WAITING), long_ago)
        with self._database.reading() as session:
            rows = session.scalars(wanted.order_by(MigrationRecord.heartbeat_at))
            found = [as_migration(row) for row in rows]
        return [migration for migration in found if migration.is_to_be_kept_up]

    def keep_up(self, migration_id: UUID, epoch: int) -> bool:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = decision.keep_up(locked, epoch)
            if change is not None:
                apply(session, locked, change)
            return change is not None
