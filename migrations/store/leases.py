"""Leases: who alone does some work for a migration or a bot, until when, and whether it may."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Executable,
    and_,
    exists,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from migrations.model.runs import (
    ApplierLease,
    ForwarderLease,
    Lease,
    RunnerLease,
    SweeperLease,
)
from migrations.model.states import DRIVEN, LIVE, Kind, Status
from migrations.store.engine import Database
from migrations.store.guarded import PLAINLY, has_status
from migrations.store.journals import is_held
from migrations.store.records import BotRecord, JournalRecord, MigrationRecord, clock

#: Runs that have switched and may have left a collection behind that is still kept.
LEFT_BEHIND = frozenset({Status.SWITCHED, Status.COMPLETED})


@dataclass(frozen=True)
class _Terms:
    """Where it is written who holds a lease and until when; of which row; what else must be so."""

    record: type[MigrationRecord] | type[JournalRecord]
    held_by: InstrumentedAttribute[str | None]
    until: InstrumentedAttribute[datetime | None]
    row: ColumnElement[bool]
    allowed: ColumnElement[bool]
    #: What is executed first. A row has to be ours before ``allowed`` is asked of other tables:
    #: who waits for it in the statement itself sees it as it has become, and them as before.
    first: Executable | None = None
    #: What is written, too, when it is taken.
    taken: dict[Any, Any] = field(default_factory=dict)


class SqlLeases:
    """Implements :class:`migrations.ports.lease_store.LeaseStore`."""

    _database: Database

    def take_lease(self, lease: Lease, holder: str, seconds: int) -> bool:
        terms = _terms(lease)
        is_free = or_(terms.held_by.is_(None), terms.held_by == holder, terms.until < clock())
        until = clock() + timedelta(seconds=seconds)
        values = {terms.held_by: holder, terms.until: until, **terms.taken}
        with self._database.transaction() as session:
            if terms.first is not None:
                session.execute(terms.first)
            return touch(session, terms.record, terms.row & terms.allowed & is_free, values)

    def release_lease(self, lease: Lease, holder: str) -> None:
        terms = _terms(lease)
        with self._database.transaction() as session:
            values = {terms.held_by: None, terms.until: None}
            touch(session, terms.record, terms.row & (terms.held_by == holder), values)

    def allows(self, lease: Lease) -> bool:
        terms = _terms(lease)
        with self._database.reading() as session:
            wanted = exists().where(terms.row, terms.allowed)
            return bool(session.execute(select(wanted)).scalar_one())


def _terms(lease: Lease) -> _Terms:
    run, journal = MigrationRecord, JournalRecord
    match lease:
        case RunnerLease(of, epoch):
            held_by, until = run.runner, run.runner_until
            alive = {run.heartbeat_at: clock()}
            return _Terms(run, held_by, until, run.id == of, at_work(epoch), taken=alive)
        case SweeperLease(of, by):
            return _Terms(run, run.sweeper, run.sweeper_until, run.id == of, sweepable(by))
        case ApplierLease(bot_id):
            lock = select(journal.bot_id).where(journal.bot_id == bot_id).with_for_update()
            return _of_journal(bot_id, ~is_held(), lock)
        case ForwarderLease(bot_id):
            there = postgresql.insert(journal).values(bot_id=bot_id).on_conflict_do_nothing()
            return _of_journal(bot_id, true(), there)


def _of_journal(bot_id: str, allowed: ColumnElement[bool], first: Executable) -> _Terms:
    journal = JournalRecord
    its, awake = journal.bot_id == bot_id, {journal.wake_at: None}
    return _Terms(journal, journal.applier, journal.applier_until, its, allowed, first, awake)


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
    session: Session,
    record: type[MigrationRecord] | type[JournalRecord],
    condition: ColumnElement[bool],
    values: dict[Any, Any],
) -> bool:
    """One guarded update of what is no change of state: no lock before it, no event after it."""
    touched = session.execute(
        update(record).where(condition).values(values).returning(literal(1)),
        execution_options=PLAINLY,
    )
    return touched.one_or_none() is not None
