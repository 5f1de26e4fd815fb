"""What somebody sets on a run's way: a pause."""

from __future__ import annotations

from uuid import UUID

from migrations.lifecycle import pausing
from migrations.model.runs import Migration
from migrations.store.engine import Database
from migrations.store.guarded import apply, lock_run


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
