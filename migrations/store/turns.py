"""The switch, and everything that takes a migration off its way."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from migrations.lifecycle import backward as turn_changes
from migrations.lifecycle import forward as phase_changes
from migrations.model.bots import Bot
from migrations.model.errors import ReembedError, SourceChanged
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.store.engine import Database
from migrations.store.guarded import apply, hold, hold_bot, lock_target_of
from migrations.store.held import leave_behind
from migrations.store.records import BotRecord, as_bot, clock, pair_columns
from migrations.store.starts import one_live_migration


class SqlTurns:
    """Implements :class:`migrations.ports.turn_store.TurnStore`."""

    _database: Database

    def begin_switch(self, migration_id: UUID, epoch: int) -> None:
        with self._database.transaction() as session:
            held = hold(session, migration_id)
            change = phase_changes.begin_switch(held, epoch)
            if change is not None:
                apply(session, held, change)

    def switch(self, migration_id: UUID, epoch: int, retention_hours: float) -> Bot:
        with self._database.transaction() as session:
            bot = as_bot(hold_bot(session, lock_target_of(session, migration_id)))
            held = hold(session, migration_id)
            change = phase_changes.switch(held, epoch, bot)
            if change is None:
                return bot
            apply(session, held, change)
            leave_behind(session, bot, held.migration, held.now)
            return _move(
                session,
                bot,
                phase_changes.switched_bot(bot, held.migration, held.now, retention_hours),
            )

    def finish(self, migration_id: UUID, epoch: int) -> None:
        with self._database.transaction() as session:
            held = hold(session, migration_id)
            change = phase_changes.finish(held, epoch)
            if change is None:
                return
            apply(session, held, change)
            if held.migration.reverses is not None:
                _take_back(session, held.migration.reverses, migration_id)

    def request_cancel(self, migration_id: UUID, by: str) -> Migration:
        with self._database.transaction() as session:
            held = hold(session, migration_id)
            change = turn_changes.request_cancel(held, by)
            return apply(session, held, change) if change is not None else held.migration

    def turn_round(self, migration_id: UUID, epoch: int, error: ReembedError) -> bool:
        with self._database.transaction() as session:
            held = hold(session, migration_id)
            change = turn_changes.turn_round(held, epoch, error)
            if change is not None:
                apply(session, held, change)
            return change is not None

    def record_undo(self, migration_id: UUID, epoch: int, phase: Phase, error: str | None) -> None:
        with self._database.transaction() as session:
            held = hold(session, migration_id)
            apply(session, held, turn_changes.record_undo(held, epoch, phase, error))

    def finish_rollback(self, migration_id: UUID, epoch: int) -> Status:
        with self._database.transaction() as session:
            held = hold(session, migration_id)
            change = turn_changes.finish_rollback(held, epoch)
            ended = apply(session, held, change) if change is not None else held.migration
            return ended.status

    def repair(self, migration_id: UUID) -> Migration:
        with self._database.transaction() as session, one_live_migration():
            held = hold(session, migration_id)
            return apply(session, held, turn_changes.repair(held))

    def redrive(self, migration_id: UUID, epoch: int) -> bool:
        with self._database.transaction() as session:
            held = hold(session, migration_id)
            change = turn_changes.redrive(held, epoch)
            if change is not None:
                apply(session, held, change)
            return change is not None


def _move(session: Session, before: Bot, after: Bot) -> Bot:
    """Guarded although the row is locked: the pivot does not rely on one thing alone."""
    try:
        row = session.scalars(
            update(BotRecord)
            .where(
                BotRecord.bot_id == before.bot_id,
                BotRecord.generation == before.live.generation,
                BotRecord.live_collection == before.live.collection,
            )
            .values(**pair_columns(after), updated_at=clock())
            .returning(BotRecord),
            execution_options={"synchronize_session": False, "populate_existing": True},
        ).one_or_none()
    except IntegrityError as error:
        raise SourceChanged(
            f"The collection {after.live.collection!r} is another bot's live collection."
        ) from error
    if row is None:
        raise SourceChanged
    return as_bot(row)


def _take_back(session: Session, reversed_id: UUID, by: UUID) -> None:
    held = hold(session, reversed_id)
    change = phase_changes.taken_back(held, by)
    if change is not None:
        apply(session, held, change)
