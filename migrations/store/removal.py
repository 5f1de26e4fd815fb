"""Removing a bot: all rows about it and its runs go, except what was paid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Session

from migrations.model.answers import RemovedBot, Staying, StayingCollection
from migrations.model.bots import Bot
from migrations.model.states import Status
from migrations.store.bots import require_no_live_migration
from migrations.store.engine import Database
from migrations.store.guarded import has_status, lock_bot
from migrations.store.records import (
    BotRecord,
    EmbeddedTextRecord,
    ErrandSpendRecord,
    GoldenQueryRecord,
    JournalEntryRecord,
    JournalRecord,
    JournalRequestRecord,
    KeptRecord,
    KeyMapRecord,
    MigrationRecord,
    Record,
    SpendRecord,
    as_bot,
)


class SqlRemoval:
    """The part of :class:`migrations.ports.bot_store.BotStore` that ends a bot."""

    _database: Database

    def remove_bot(self, bot_id: str) -> RemovedBot:
        with self._database.transaction() as session:
            bot = as_bot(lock_bot(session, bot_id))
            require_no_live_migration(session, bot_id)
            # Locked first, as whoever drops them does: what is being dropped is waited for.
            kept = session.scalars(
                select(KeptRecord.collection).where(KeptRecord.bot_id == bot_id).with_for_update()
            ).all()
            removed = RemovedBot(bot, tuple(_staying(session, bot, kept)))
            session.execute(_spend_without_a_run(bot_id))
            _forget(session, bot_id)
            return removed


def _staying(session: Session, bot: Bot, kept: Sequence[str]) -> Iterator[StayingCollection]:
    made = set(session.scalars(_targets(bot.bot_id).where(~MigrationRecord.target_is_kept)))
    unfinished = session.scalars(_targets(bot.bot_id).where(has_status(Status.FAILED)))
    return staying(bot, kept, unfinished.all(), made)


def staying(
    bot: Bot, kept: Sequence[str], unfinished: Sequence[str], made: set[str]
) -> Iterator[StayingCollection]:
    """Each once, as the first of what it was."""
    previous = [bot.previous.collection] if bot.previous else []
    names = {
        Staying.LIVE: [bot.live.collection],
        Staying.PREVIOUS: previous,
        Staying.KEPT: sorted(kept),
        Staying.UNFINISHED: sorted(unfinished),
    }
    seen = set()
    for was, collections in names.items():
        for name in collections:
            if name not in seen:
                seen.add(name)
                yield StayingCollection(name, was, name in made)


def _targets(bot_id: str) -> Select[str]:
    return select(MigrationRecord.target_collection).where(MigrationRecord.bot_id == bot_id)


def _spend_without_a_run(bot_id: str) -> Insert:
    """What its runs have paid is added to what no run pays for: money is not forgotten."""
    spend, run = SpendRecord, MigrationRecord
    columns = (run.owner, run.bot_id, spend.provider, spend.model, spend.purpose, spend.writer)
    sums = (
        select(*columns, func.sum(spend.requests), func.sum(spend.tokens))
        .join(run, run.id == spend.migration_id)
        .where(run.bot_id == bot_id)
        .group_by(*columns)
    )
    added = insert(ErrandSpendRecord).from_select(
        [column.key for column in columns] + ["requests", "tokens"], sums
    )
    return added.on_conflict_do_update(
        index_elements=["owner", "bot_id", "provider", "model", "purpose", "writer"],
        set_={
            name: getattr(ErrandSpendRecord, name) + getattr(added.excluded, name)
            for name in ("requests", "tokens")
        },
    )


def _forget(session: Session, bot_id: str) -> None:
    """Whatever table names a migration, this revision's or a later one's."""
    runs = select(MigrationRecord.id).where(MigrationRecord.bot_id == bot_id)
    for table in reversed(Record.metadata.sorted_tables):
        if "migration_id" in table.columns:
            session.execute(delete(table).where(table.c.migration_id.in_(runs)))
    targets = _targets(bot_id)
    session.execute(
        delete(KeyMapRecord).where(
            or_(KeyMapRecord.old_collection.in_(targets), KeyMapRecord.new_collection.in_(targets))
        ),
        execution_options={"synchronize_session": False},
    )
    sources = select(MigrationRecord.source_collection).where(MigrationRecord.bot_id == bot_id)
    embedded = EmbeddedTextRecord.collection
    session.execute(
        delete(EmbeddedTextRecord).where(or_(embedded.in_(targets), embedded.in_(sources))),
        execution_options={"synchronize_session": False},
    )
    for record in (
        *(MigrationRecord, GoldenQueryRecord),
        *(JournalEntryRecord, JournalRequestRecord, JournalRecord, BotRecord),
    ):
        session.execute(
            delete(record).where(record.bot_id == bot_id),
            execution_options={"synchronize_session": False},
        )
