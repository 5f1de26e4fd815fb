"""What is counted over all bots and migrations, for monitoring.

A handful of statements, each over one small table or a partial index; nothing is locked, and
they are not of one moment.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    and_,
    case,
    cast,
    extract,
    func,
    select,
)
from sqlalchemy.orm import Session

from migrations.model.figures import (
    BotFigures,
    Figures,
    JournalFigures,
    NotificationFigures,
    OutboxFigures,
    RunFigures,
)
from migrations.model.left_behind import ConflictReason, HoldReason
from migrations.model.states import DRIVEN, LIVE, Kind, Phase, Status
from migrations.store.engine import Database
from migrations.store.guarded import has_status
from migrations.store.records import (
    BotRecord,
    ConflictRecord,
    DeliveryRecord,
    FailedChunkRecord,
    JournalEntryRecord,
    JournalRecord,
    KeptRecord,
    MigrationRecord,
    OutboxRecord,
    clock,
)


class SqlFigures:
    """Implements :class:`migrations.ports.figure_store.FigureStore`."""

    _database: Database

    def figures(self) -> Figures:
        with self._database.reading() as session:
            return Figures(
                runs=_runs(session),
                bots=_bots(session),
                kept={HoldReason(name): n for name, n in session.execute(_KEPT)},
                conflicts={ConflictReason(name): n for name, n in session.execute(_CONFLICTS)},
                journals=_journals(session),
                outbox=OutboxFigures(*session.execute(_OUTBOX).one()),
                notifications=NotificationFigures(*session.execute(_NOTIFICATIONS).one()),
            )


def _seconds(span: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(extract("epoch", span), Double())


def _seconds_since(at: ColumnElement[Any]) -> ColumnElement[float]:
    """0 where there is no time; PostgreSQL's greatest() passes nulls over."""
    return func.greatest(_seconds(clock() - at), 0.0)


def _total(name: str) -> ColumnElement[int]:
    told = cast(MigrationRecord.totals[name].astext, BigInteger)
    return cast(func.coalesce(func.sum(told), 0), BigInteger)


def _runs(session: Session) -> RunFigures:
    by_phase = {Phase(name): n for name, n in session.execute(_BY_PHASE)}
    silence, epoch, wait, *chunks = session.execute(_OF_ALL_RUNS).one()
    return RunFigures(
        by_status={(Kind(k), Status(s)): n for k, s, n in session.execute(_BY_STATUS)},
        by_phase=by_phase,
        longest_silence_seconds=silence,
        highest_epoch=epoch,
        longest_wait_seconds=wait,
        total_chunks=chunks[0],
        processed_chunks=chunks[1],
        failed_chunks=chunks[2],
        failed_by_code={str(code): n for code, n in session.execute(_FAILED)},
    )


def _bots(session: Session) -> BotFigures:
    return BotFigures(*session.execute(_BOTS).one())


def _journals(session: Session) -> JournalFigures:
    waiting, oldest = session.execute(_WAITING_WRITES).one()
    return JournalFigures(waiting, oldest, session.execute(_FAILED_WRITES).scalar_one())


_BY_STATUS = select(MigrationRecord.kind, MigrationRecord.status, func.count()).group_by(
    MigrationRecord.kind, MigrationRecord.status
)
_BY_PHASE = (
    select(MigrationRecord.phase, func.count())
    .where(has_status(*DRIVEN))
    .group_by(MigrationRecord.phase)
)
_IS_DRIVEN = has_status(*DRIVEN)
_OF_ALL_RUNS = select(
    _seconds_since(func.min(MigrationRecord.heartbeat_at).filter(_IS_DRIVEN)),
    func.coalesce(func.max(MigrationRecord.epoch).filter(_IS_DRIVEN), 0),
    _seconds_since(
        func.min(
            cast(MigrationRecord.decision["since"].astext, MigrationRecord.heartbeat_at.type)
        ).filter(has_status(Status.WAITING))
    ),
    *map(_total, ("total_chunks", "processed_chunks", "failed_chunks")),
).where(has_status(*LIVE))
_FAILED = (
    select(FailedChunkRecord.code, func.count())
    .join(MigrationRecord, MigrationRecord.id == FailedChunkRecord.migration_id)
    .where(has_status(*LIVE))
    .group_by(FailedChunkRecord.code)
)
_HAS_WAY_BACK = BotRecord.previous_expires_at > clock()
_BOTS = select(
    func.count(),
    func.count().filter(_HAS_WAY_BACK),
    _seconds(func.min(BotRecord.previous_expires_at).filter(_HAS_WAY_BACK) - clock()),
    func.count().filter(BotRecord.alias_collection.is_not(None)),
).select_from(BotRecord)
_KEPT = select(KeptRecord.reason, func.count()).group_by(KeptRecord.reason)
_CONFLICTS = select(ConflictRecord.reason, func.count()).group_by(ConflictRecord.reason)
_FIRST_WAITING = and_(
    JournalEntryRecord.bot_id == JournalRecord.bot_id,
    JournalEntryRecord.position == JournalRecord.applied + 1,
)
_WAITING_WRITES = (
    select(
        cast(func.coalesce(func.sum(JournalRecord.last - JournalRecord.applied), 0), BigInteger),
        _seconds_since(
            func.min(case((JournalRecord.last > JournalRecord.applied, JournalEntryRecord.at)))
        ),
    )
    .select_from(JournalRecord)
    .outerjoin(JournalEntryRecord, _FIRST_WAITING)
)
_FAILED_WRITES = select(func.count()).where(JournalEntryRecord.code.is_not(None))
_OUTBOX = (
    select(func.count(), _seconds_since(func.min(OutboxRecord.created_at)))
    .join(MigrationRecord, MigrationRecord.id == OutboxRecord.migration_id)
    .where(OutboxRecord.sent_at.is_(None), OutboxRecord.epoch == MigrationRecord.epoch)
)
_WAITS = DeliveryRecord.sent_at.is_(None) & DeliveryRecord.given_up_at.is_(None)
_NOTIFICATIONS = select(
    func.count().filter(_WAITS),
    _seconds_since(func.min(DeliveryRecord.created_at).filter(_WAITS)),
    func.count().filter(DeliveryRecord.given_up_at.is_not(None)),
).where(DeliveryRecord.sent_at.is_(None))
