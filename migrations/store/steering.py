"""What somebody sets on a run's way: a pause, more time, a pace."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from migrations.lifecycle import pausing, terms
from migrations.model.pace import PACE, Pace
from migrations.model.runs import Migration
from migrations.model.states import LIVE
from migrations.store.engine import Database
from migrations.store.guarded import apply, has_status, lock_run
from migrations.store.records import MigrationRecord, as_migration


class SqlSteering:
    """Implements :class:`migrations.ports.steering_store.SteeringStore`."""

    _database: Database

    def pause(self, migration_id: UUID, by: str, reason: str | None) -> Migration:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = pausing.pause(locked, by, reason)
            return apply(session, locked, change) if change is not None else locked.migration

    def resume(self, migration_id: UUID, by: str) -> Migration:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = pausing.resume(locked, by)
            return apply(session, locked, change) if change is not None else locked.migration

    def extend(self, migration_id: UUID, timeout_seconds: int, by: str) -> Migration:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = terms.extend(locked, timeout_seconds, by)
            return apply(session, locked, change) if change is not None else locked.migration

    def throttle(self, migration_id: UUID, pace: Pace | None, by: str) -> Migration:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = terms.throttle(locked, pace, by)
            return apply(session, locked, change) if change is not None else locked.migration

    def throttled(self) -> list[Migration]:
        wanted = select(MigrationRecord).where(
            has_status(*LIVE), MigrationRecord.controls.has_key(PACE)
        )
        with self._database.reading() as session:
            return [as_migration(row) for row in session.scalars(wanted)]
