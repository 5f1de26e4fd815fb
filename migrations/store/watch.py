"""What the watchdog asks: whose round it is, who stands still, who is late, what was not sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, delete, exists, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningInsert

from migrations.model.bots import Bot
from migrations.model.runs import Migration, OutboxMessage, Round
from migrations.model.states import BEFORE_SWITCH, DRIVEN, Phase
from migrations.ports.watch_store import SchemaRevision
from migrations.store.engine import Database
from migrations.store.guarded import PLAINLY, has_status, now
from migrations.store.known_revisions import judged
from migrations.store.records import (
    BotRecord,
    MigrationRecord,
    OutboxRecord,
    RoundRecord,
    as_bot,
    as_migration,
    clock,
)

#: A migration whose batches wait in line behind another's has no heartbeat of its
#: own for a while; it is given this many times the patience (with the default of
#: 12 s, a dead worker's migration goes on within a minute even so).
PATIENCE_IN_LINE = 4
SENT_KEPT_FOR = timedelta(days=1)


class SqlWatch:
    """Implements :class:`migrations.ports.watch_store.WatchStore`."""

    _database: Database

    def claim_round(self, what: Round, pause_seconds: float) -> bool:
        with self._database.transaction() as session:
            return bool(session.execute(_claim(what, pause_seconds)).all())

    def claim_bots(self, limit: int, pause_seconds: float) -> list[Bot]:
        with self._database.transaction() as session:
            claimed = session.execute(_claim(Round.ALIASES, pause_seconds)).one_or_none()
            if claimed is None:
                return []
            wanted = select(BotRecord).order_by(BotRecord.bot_id).limit(limit)
            if claimed.after is not None:
                wanted = wanted.where(BotRecord.bot_id > claimed.after)
            bots = [as_bot(row) for row in session.scalars(wanted)]
            last = bots[-1].bot_id if len(bots) == limit else None
            moved = update(RoundRecord).where(RoundRecord.what == Round.ALIASES.value)
            session.execute(moved.values(after=last), execution_options=PLAINLY)
            return bots

    def stalled(self, after_seconds: float, *, line_is_empty: bool = False) -> list[Migration]:
        after = timedelta(seconds=after_seconds)
        if line_is_empty:
            return self._driven(MigrationRecord.heartbeat_at < clock() - after)
        patience = case((_waits_in_line(after), after * PATIENCE_IN_LINE), else_=after)
        return self._driven(MigrationRecord.heartbeat_at < clock() - patience)

    def overdue(self) -> list[Migration]:
        return self._driven(has_status(*BEFORE_SWITCH), MigrationRecord.deadline_at < clock())

    def _driven(self, *conditions: ColumnElement[bool]) -> list[Migration]:
        wanted = select(MigrationRecord).where(has_status(*DRIVEN), *conditions)
        with self._database.reading() as session:
            rows = session.scalars(wanted.order_by(MigrationRecord.heartbeat_at))
            return [as_migration(row) for row in rows]

    def unsent(self, older_than_seconds: float, limit: int = 100) -> list[OutboxMessage]:
        long_sent = delete(OutboxRecord).where(OutboxRecord.sent_at < clock() - SENT_KEPT_FOR)
        age = timedelta(seconds=older_than_seconds)
        wanted = _unsent().where(OutboxRecord.created_at <= clock() - age).limit(limit)
        with self._database.reading() as session:
            session.execute(long_sent, execution_options={"synchronize_session": False})
            return [_as_message(row) for row in session.scalars(wanted)]

    def unsent_of(self, migration_id: UUID) -> list[OutboxMessage]:
        wanted = _unsent().where(OutboxRecord.migration_id == migration_id)
        with self._database.reading() as session:
            return [_as_message(row) for row in session.scalars(wanted)]

    def mark_sent(self, message_ids: Sequence[int]) -> None:
        sent = (
            update(OutboxRecord)
            .where(OutboxRecord.id.in_(message_ids), OutboxRecord.sent_at.is_(None))
            .values(sent_at=clock())
        )
        with self._database.transaction() as session:
            session.execute(sent, execution_options={"synchronize_session": False})

    def now(self) -> datetime:
        with self._database.reading() as session:
            return now(session)

    def schema(self) -> SchemaRevision:
        with self._database.reading() as session:
            found: str = session.execute(
                text("SELECT version_num FROM schema_revision")
            ).scalar_one()
            return judged(found)


def _claim(what: Round, pause_seconds: float) -> ReturningInsert[str, str | None]:
    """Of two at once the second waits for the first's row and then finds it claimed."""
    until = clock() + timedelta(seconds=pause_seconds)
    return (
        insert(RoundRecord)
        .values(what=what.value, at=until)
        .on_conflict_do_update(
            index_elements=["what"], set_={"at": until}, where=RoundRecord.at <= clock()
        )
        .returning(RoundRecord.what, RoundRecord.after)
    )


def _waits_in_line(after: timedelta) -> ColumnElement[bool]:
    """In data migration while another migration's batches keep the workers busy.

    Its own fresh heartbeat counts too and does no harm: then it is not stalled anyway.
    """
    other = aliased(MigrationRecord)
    busy = exists().where(
        other.phase == Phase.DATA_MIGRATION.value,
        other.status.in_([status.value for status in DRIVEN]),
        other.heartbeat_at >= clock() - after,
    )
    return (MigrationRecord.phase == Phase.DATA_MIGRATION.value) & busy


def _unsent() -> Select[OutboxRecord]:
    """Messages of the epoch that owns the migration now, oldest first."""
    return (
        select(OutboxRecord)
        .join(MigrationRecord, MigrationRecord.id == OutboxRecord.migration_id)
        .where(OutboxRecord.sent_at.is_(None), OutboxRecord.epoch == MigrationRecord.epoch)
        .order_by(OutboxRecord.id)
    )


def _as_message(row: OutboxRecord) -> OutboxMessage:
    return OutboxMessage(id=row.id, body=row.body)
