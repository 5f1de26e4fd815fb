"""Leases: who alone does some work for a migration, until when, and whether it may be done."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from migrations.model.runs import Lease, RunnerLease, SweeperLease
from migrations.model.states import DRIVEN, LIVE, Kind, Status
from migrations.store.engine import Database
from migrations.store.guarded import has_status
from migrations.store.records import BotRecord, MigrationRecord, clock

#: Runs that have switched and may have left a collection behind that is still kept.
LEFT_BEHIND = frozenset({Status.SWITCHED, Status.COMPLETED})

Terms = tuple[
    InstrumentedAttribute[str | None], InstrumentedAttribute[datetime | None], ColumnElement[bool]
]


class SqlLeases:
    """Implements :class:`migrations.ports.lease_store.LeaseStore`."""

    _database: Database

    def take_lease(self, lease: Lease, holder: str, seconds: int) -> bool:
        held_by, until, allowed = _terms(lease)
        is_free = or_(held_by.is_(None), held_by == holder, until < clock())
        values = {held_by: holder, until: clock() + timedelta(seconds=seconds)}
        if isinstance(lease, RunnerLease):
            values[MigrationRecord.heartbeat_at] = clock()
        with self._database.transaction() as session:
            return touch(session, lease.migration_id, allowed & is_free, values)

    def release_lease(self, lease: Lease, holder: str) -> None:
        held_by, until, _ = _terms(lease)
        with self._database.transaction() as session:
            touch(session, lease.migration_id, held_by == holder, {held_by: None, until: None})

    def allows(self, lease: Lease) -> bool:
        _, _, allowed = _terms(lease)
        with self._database.reading() as session:
            wanted = exists().where(MigrationRecord.id == lease.migration_id, allowed)
            return bool(session.execute(select(wanted)).scalar_one())


def _terms(lease: Lease) -> Terms:
    """Where it is written who holds the lease and until when, and the condition for holding it."""
    row = MigrationRecord
    match lease:
        case RunnerLease(epoch=epoch):
            return row.runner, row.runner_until, at_work(epoch)
        case SweeperLease(by=by):
            return row.sweeper, row.sweeper_until, sweepable(by)


def at_work(epoch: int) -> ColumnElement[bool]:
    """The migration is driven, at this epoch."""
    return (MigrationRecord.epoch == epoch) & has_status(*DRIVEN)


def sweepable(by: UUID | None) -> ColumnElement[bool]:
    """The bot still is where the run brought it, and nobody else overwrites what it left."""
    allowed = has_reverse_run({Status.RUNNING}, by) if by else ~has_reverse_run(LIVE)
    return has_status(*LEFT_BEHIND) & exists().where(may_go_back()) & allowed


def may_go_back() -> ColumnElement[bool]:
    """The bot is where the run brought it, and where it was before is its previous collection."""
    return and_(
        BotRecord.bot_id == MigrationRecord.bot_id,
        BotRecord.generation == MigrationRecord.new_generation,
        BotRecord.previous_collection == MigrationRecord.source_collection,
    )


def has_reverse_run(statuses: Collection[Status], only: UUID | None = None) -> ColumnElement[bool]:
    """A reverse run of the migration is in one of these states."""
    back = aliased(MigrationRecord)
    return exists().where(
        back.reverses == MigrationRecord.id,
        back.kind == Kind.REVERSE.value,
        back.status.in_([status.value for status in statuses]),
        *([back.id == only] if only else []),
    )


def touch(
    session: Session, migration_id: UUID, condition: ColumnElement[bool], values: dict[Any, Any]
) -> bool:
    """One guarded update of what is no change of state: no lock before it, no event after it."""
    touched = session.scalars(
        update(MigrationRecord)
        .where(MigrationRecord.id == migration_id, condition)
        .values(values)
        .returning(MigrationRecord.id),
        execution_options={"synchronize_session": False},
    )
    return touched.one_or_none() is not None
