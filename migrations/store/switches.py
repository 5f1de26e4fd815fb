"""The switch, and the end of a run that has switched."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from migrations.lifecycle import forward
from migrations.model.bots import Bot
from migrations.model.errors import SourceChanged
from migrations.model.runs import Migration
from migrations.store.engine import Database
from migrations.store.guarded import apply, lock_bot, lock_run, lock_target_of, take_back
from migrations.store.kept import leave_behind
from migrations.store.late_writes import hand_over_snapshot
from migrations.store.leases import touch
from migrations.store.records import BotRecord, MigrationRecord, as_bot, clock, pair_columns


class SqlSwitches:
    """Implements :class:`migrations.ports.switch_store.SwitchStore`."""

    _database: Database

    def begin_switch(self, migration_id: UUID, epoch: int) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = forward.begin_switch(locked, epoch)
            if change is not None:
                apply(session, locked, change)

    def switch(self, migration_id: UUID, epoch: int, retention_hours: float) -> Bot:
        with self._database.transaction() as session:
            bot = as_bot(lock_bot(session, lock_target_of(session, migration_id)))
            locked = lock_run(session, migration_id)
            change = forward.switch(locked, epoch, bot)
            if change is None:
                return bot
            apply(session, locked, change)
            if locked.migration.switches_first:
                _take_over_snapshot(session, locked.migration)
            leave_behind(session, bot, locked.migration, locked.now)
            return _move(
                session,
                bot,
                forward.switched_bot(bot, locked.migration, locked.now, retention_hours),
            )

    def finish(self, migration_id: UUID, epoch: int) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            change = forward.finish(locked, epoch)
            if change is None:
                return
            apply(session, locked, change)
            if locked.migration.reverses is not None:
                take_back(session, locked.migration.reverses, migration_id)


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


def _take_over_snapshot(session: Session, migration: Migration) -> None:
    """With the switch, because a sweep that finds no snapshot takes all there is as known.

    Whoever still sweeps for the run that is taken back keeps nothing of it from here on.
    """
    assert migration.reverses is not None  # noqa: S101 # only a reverse run switches first
    lock_run(session, migration.reverses)
    touch(
        session,
        MigrationRecord,
        MigrationRecord.id == migration.reverses,
        {MigrationRecord.sweeper: None, MigrationRecord.sweeper_until: None},
    )
    hand_over_snapshot(session, migration.reverses, migration.id)
