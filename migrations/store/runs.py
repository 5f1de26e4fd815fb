"""A run on its way forward: reading it, its phases and steps, and its heartbeat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on

from migrations.lifecycle import forward
from migrations.model.errors import MigrationNotFound
from migrations.model.outcomes import Outcome
from migrations.model.runs import Migration, Step
from migrations.model.states import LIVE, Phase, Status
from migrations.store.engine import Database
from migrations.store.guarded import apply, has_status, lock_run
from migrations.store.leases import at_work, touch
from migrations.store.records import MigrationRecord, as_migration, clock


class SqlRuns:
    """The reading and advancing part of :class:`migrations.ports.run_store.RunStore`."""

    _database: Database

    def migration(self, migration_id: UUID) -> Migration:
        with self._database.reading() as session:
            row = session.get(MigrationRecord, migration_id)
            if row is None:
                raise MigrationNotFound
            return as_migration(row)

    def latest(self, bot_id: str) -> Migration | None:
        return self._newest(MigrationRecord.bot_id == bot_id)

    def latest_of(self, bot_ids: Collection[str]) -> dict[str, Migration]:
        wanted = (
            select(MigrationRecord)
            .ext(distinct_on(MigrationRecord.bot_id))
            .where(MigrationRecord.bot_id.in_(bot_ids))
            .order_by(MigrationRecord.bot_id, MigrationRecord.created_at.desc())
        )
        with self._database.reading() as session:
            return {row.bot_id: as_migration(row) for row in session.scalars(wanted)}

    def live(self, bot_id: str) -> Migration | None:
        return self._newest(MigrationRecord.bot_id == bot_id, has_status(*LIVE))

    def reverse_of(self, migration_id: UUID) -> Migration | None:
        return self._newest(MigrationRecord.reverses == migration_id)

    def active(self, *, after: UUID | None = None, limit: int | None = None) -> list[Migration]:
        place = (MigrationRecord.created_at, MigrationRecord.id)
        wanted = select(MigrationRecord).where(has_status(*LIVE)).order_by(*place).limit(limit)
        with self._database.reading() as session:
            if after is not None:
                last = session.get(MigrationRecord, after)
                if last is None:
                    raise MigrationNotFound
                wanted = wanted.where(tuple_(*place) > (last.created_at, last.id))
            return [as_migration(row) for row in session.scalars(wanted)]

    def undone_lately(self, seconds: float) -> list[Migration]:
        wanted = select(MigrationRecord).where(
            has_status(Status.ROLLED_BACK),
            MigrationRecord.finished_at > clock() - timedelta(seconds=seconds),
        )
        with self._database.reading() as session:
            rows = session.scalars(wanted.order_by(MigrationRecord.finished_at))
            return [as_migration(row) for row in rows]

    def _newest(self, *conditions: ColumnElement[bool]) -> Migration | None:
        newest = MigrationRecord.created_at.desc()
        with self._database.reading() as session:
            row = session.scalars(
                select(MigrationRecord).where(*conditions).order_by(newest).limit(1)
            ).one_or_none()
            return as_migration(row) if row is not None else None

    def begin_phase(self, migration_id: UUID, epoch: int, phase: Phase) -> Migration:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            return apply(session, locked, forward.begin_phase(locked, epoch, phase))

    def complete_phase(
        self,
        migration_id: UUID,
        epoch: int,
        phase: Phase,
        outcome: Outcome | None = None,
    ) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = forward.complete_phase(locked, epoch, phase, outcome or Outcome())
            if change is not None:
                apply(session, locked, change)

    def take_step(
        self, migration_id: UUID, epoch: int, step: Step, message: Mapping[str, Any] | None = None
    ) -> bool:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = forward.take_step(locked, epoch, step, message)
            if change is not None:
                apply(session, locked, change)
            return change is not None

    def note(
        self,
        migration_id: UUID,
        epoch: int,
        *,
        totals: Mapping[str, int] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = forward.note(locked, epoch, totals or {}, warnings)
            if change is not None:
                apply(session, locked, change)

    def learn_longest_input(self, migration_id: UUID, epoch: int, tokens: int) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = forward.learn_longest_input(locked, epoch, tokens)
            if change is not None:
                apply(session, locked, change)

    def wait_for(self, migration_id: UUID, epoch: int, what: str | None) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = forward.wait_for(locked, epoch, what)
            if change is not None:
                apply(session, locked, change)

    def heartbeat(self, migration_id: UUID, epoch: int) -> bool:
        with self._database.transaction() as session:
            now = {MigrationRecord.heartbeat_at: clock()}
            driven = (MigrationRecord.id == migration_id) & at_work(epoch)
            return touch(session, MigrationRecord, driven, now)
