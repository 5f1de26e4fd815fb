"""Bots: which collection and model each answers from, and where it was before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from migrations.model.bots import Bot
from migrations.model.errors import BotExists, BotNotFound
from migrations.model.states import LIVE, Status
from migrations.store.engine import Database
from migrations.store.guarded import has_status, lock_collection, may_idle
from migrations.store.records import BotRecord, MigrationRecord, as_bot, pair_columns

#: Live migrations that still mean to use their collections; one that rolls back
#: gives its target up.
HEADING_FOR_SWITCH = LIVE - {Status.ROLLING_BACK, Status.NEEDS_OPERATOR}


class SqlBots:
    """Implements :class:`migrations.ports.bot_store.BotStore`."""

    _database: Database

    def add_bot(self, bot: Bot) -> Bot:
        with self._database.transaction() as session:
            lock_collection(session, bot.live.collection)
            if _user_of(session, bot.live.collection) is not None:
                raise BotExists(
                    f"The collection {bot.live.collection!r} belongs to a registered bot already."
                )
            row = BotRecord(
                bot_id=bot.bot_id,
                owner=bot.owner,
                alias=bot.alias,
                key_field=bot.key_field,
                text_field=bot.text_field,
                vector_field=bot.vector_field,
                **pair_columns(bot),
            )
            session.add(row)
            try:
                session.flush()
            except IntegrityError as error:
                raise _already(bot, error) from error
            return as_bot(row)

    def bot(self, bot_id: str) -> Bot:
        with self._database.reading() as session:
            row = session.get(BotRecord, bot_id)
            if row is None:
                raise BotNotFound
            return as_bot(row)

    def bots(
        self, owner: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[Bot]:
        wanted = select(BotRecord).order_by(BotRecord.bot_id).limit(limit)
        if owner is not None:
            wanted = wanted.where(BotRecord.owner == owner)
        if after is not None:
            wanted = wanted.where(BotRecord.bot_id > after)
        with self._database.reading() as session:
            return [as_bot(row) for row in session.scalars(wanted)]

    @contextmanager
    def lock_for_drop(self, collection: str) -> Iterator[bool]:
        # Registering, starting and switching take the same lock, so that none of
        # them can make the collection somebody's while the block drops it.
        with self._database.transaction() as session:
            may_idle(session)  # while the vector store works, however long it takes
            lock_collection(session, collection)
            yield not is_wanted(session, collection)


def _already(bot: Bot, error: IntegrityError) -> BotExists:
    if "alias" in str(error.orig).splitlines()[0]:
        return BotExists(f"The alias {bot.alias!r} belongs to a registered bot already.")
    return BotExists()


def _user_of(session: Session, collection: str) -> str | None:
    return session.scalars(
        select(BotRecord.bot_id).where(
            (BotRecord.live_collection == collection)
            | (BotRecord.previous_collection == collection)
        )
    ).first()


def has_live_migration() -> ColumnElement[bool]:
    live = exists().where(MigrationRecord.bot_id == BotRecord.bot_id, has_status(*LIVE))
    return live.correlate(BotRecord)


def is_wanted(session: Session, collection: str) -> bool:
    """Whether a bot answers from it or may go back to it, or a run is heading for it."""
    of_a_bot = (BotRecord.live_collection == collection) | (
        BotRecord.previous_collection == collection
    )
    of_a_run = has_status(*HEADING_FOR_SWITCH) & (
        (MigrationRecord.source_collection == collection)
        | (MigrationRecord.target_collection == collection)
    )
    wanted = exists().where(of_a_bot) | exists().where(of_a_run)
    return bool(session.execute(select(wanted)).scalar_one())
