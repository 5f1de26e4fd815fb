"""Collections nobody needs any more: held, taken over again, or dropped under lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from migrations.lifecycle.change import Change, drop_asked, drop_refused, kept_for
from migrations.model.bots import Bot
from migrations.model.config import EmbeddingRef
from migrations.model.errors import CollectionInUse, KeptNotFound, NoLongerKept, OriginalStays
from migrations.model.left_behind import End, HoldReason, KeptCollection
from migrations.model.runs import Migration, NewMigration
from migrations.model.states import Kind
from migrations.store.bots import has_live_migration, is_wanted, may_be_dropped
from migrations.store.engine import Database
from migrations.store.guarded import apply, lock_bot, lock_collection, lock_run, may_idle, now
from migrations.store.late_writes import forget_snapshots_of
from migrations.store.records import (
    BotRecord,
    KeptRecord,
    MigrationRecord,
    as_bot,
    as_manner,
    as_migration,
    clock,
    manner_column,
)

NOTHING_PREVIOUS = dict.fromkeys(
    (
        "previous_collection",
        "previous_provider",
        "previous_model",
        "previous_dimension",
        "previous_manner",
        "previous_expires_at",
    )
)


class SqlKept:
    """Implements :class:`migrations.ports.kept_store.KeptStore`."""

    _database: Database

    def switched_by(self, bot_id: str, generation: int) -> Migration | None:
        wanted = select(MigrationRecord).where(
            MigrationRecord.bot_id == bot_id, MigrationRecord.new_generation == generation
        )
        with self._database.reading() as session:
            row = session.scalars(wanted.limit(1)).one_or_none()
            return as_migration(row) if row is not None else None

    def keep_target(self, migration_id: UUID, chunks: int, hold_hours: float) -> bool:
        with self._database.transaction() as session:
            row = session.get_one(MigrationRecord, migration_id)
            lock_collection(session, row.target_collection)
            if is_wanted(session, row.target_collection):
                return False
            locked = lock_run(session, migration_id)
            if _insert(session, target_of(locked.migration, chunks, locked.now, hold_hours)):
                told = {"collection": row.target_collection, "chunks": chunks}
                apply(session, locked, Change({}, "target_held", told))
            return True

    def kept(self, collection: str) -> KeptCollection | None:
        with self._database.reading() as session:
            found = session.execute(_KEPT.where(KeptRecord.collection == collection)).one_or_none()
            return as_held(*found) if found is not None else None

    def kept_of(self, bot_id: str) -> list[KeptCollection]:
        wanted = _KEPT.where(KeptRecord.bot_id == bot_id).order_by(KeptRecord.held_at.desc())
        with self._database.reading() as session:
            return [as_held(*found) for found in session.execute(wanted)]

    def kept_page(
        self, owner: str | None, bot_id: str | None, after: str | None, limit: int
    ) -> list[KeptCollection]:
        name = KeptRecord.collection.collate("C")
        wanted = _KEPT.order_by(name).limit(limit)
        if owner is not None:
            of_owner = select(BotRecord.bot_id).where(BotRecord.owner == owner)
            wanted = wanted.where(KeptRecord.bot_id.in_(of_owner))
        if bot_id is not None:
            wanted = wanted.where(KeptRecord.bot_id == bot_id)
        if after is not None:
            wanted = wanted.where(name > after)
        with self._database.reading() as session:
            return [as_held(*found) for found in session.execute(wanted)]

    def keep_for(self, collection: str, hours: float | None, by: str) -> KeptCollection:
        with self._database.transaction() as session:
            row, is_ours = _lock_kept_row(session, collection)
            until = None if hours is None else now(session) + timedelta(hours=hours)
            if is_ours and row.drop_after != until:
                row.drop_after = until
                _tell_of(session, row, kept_for(collection, by, until))
            return as_held(row, is_ours)

    def let_drop(self, collection: str, by: str) -> KeptCollection:
        with self._database.transaction() as session:
            row, is_ours = _lock_kept_row(session, collection)
            if is_wanted(session, collection):
                raise is_wanted_again(collection)
            if not is_ours:
                raise OriginalStays
            at = now(session)
            if row.drop_after is None or row.drop_after > at:
                row.drop_after = at
                _tell_of(session, row, drop_asked(collection, by))
            return as_held(row, is_ours)

    def retire(
        self, migration_id: UUID, chunks: int | None, digest: str | None, hold_hours: float
    ) -> bool:
        with self._database.transaction() as session:
            run = as_migration(session.get_one(MigrationRecord, migration_id))
            lock_collection(session, run.source_collection)
            bot = as_bot(lock_bot(session, run.bot_id))
            locked = lock_run(session, migration_id)
            if not _is_given_up(session, bot, locked.migration):
                return False
            until = locked.now + timedelta(hours=hold_hours)
            _insert(session, retired(bot, migration_id, chunks, digest, locked.now, until))
            _forget_previous(session, bot.bot_id)
            forget_snapshots_of(session, bot.bot_id)
            apply(session, locked, Change({}, "retired", {"collection": run.source_collection}))
            return True

    def measure_kept(self, collection: str, chunks: int, digest: str, hold_hours: float) -> None:
        until = clock() + timedelta(hours=hold_hours)
        _update(self._database, collection, chunks=chunks, content_digest=digest, drop_after=until)

    def keep_longer(self, collection: str, hold_hours: float, warning: str) -> None:
        until = clock() + timedelta(hours=hold_hours)
        _update(self._database, collection, drop_after=until)
        with self._database.transaction() as session:
            row = session.get(KeptRecord, collection)
            if row is not None:
                locked = lock_run(session, row.migration_id)
                apply(session, locked, drop_refused(locked, collection, warning))

    @contextmanager
    def lock_kept(self, collection: str, end: End = End.DROPPED) -> Iterator[bool]:
        due = (KeptRecord.collection == collection) & (KeptRecord.drop_after <= clock())
        with self._database.transaction() as session:
            may_idle(session)  # while the vector store works, however long it takes
            lock_collection(session, collection)
            row = session.scalars(select(KeptRecord).where(due).with_for_update()).one_or_none()
            if row is None or is_wanted(session, collection) or not _may_end(session, row, end):
                yield False
                return
            yield True
            locked = lock_run(session, row.migration_id)
            apply(session, locked, put_away(collection, end))
            if end is End.RELEASED:
                row.drop_after = None
            else:
                session.delete(row)


def _lock_kept_row(session: Session, collection: str) -> tuple[KeptRecord, bool]:
    """The row, while nobody drops it or makes it live, and whether we may drop it.

    Raises KeptNotFound.
    """
    lock_collection(session, collection)
    found = session.execute(
        _KEPT.where(KeptRecord.collection == collection).with_for_update(of=KeptRecord)
    ).one_or_none()
    if found is None:
        raise KeptNotFound
    row, is_ours = found
    return row, is_ours


def _tell_of(session: Session, row: KeptRecord, change: Change) -> None:
    """On the run that has left it behind."""
    apply(session, lock_run(session, row.migration_id), change)


def is_wanted_again(collection: str) -> CollectionInUse:
    return CollectionInUse(
        f"A bot answers from {collection!r} or may go back to it, or a migration is heading for "
        "it; it is not dropped."
    )


def _may_end(session: Session, row: KeptRecord, end: End) -> bool:
    """Asked when the row is locked: who changes the bot's mind locks it, too."""
    let_go = select(may_be_dropped(row.bot_id, row.collection))
    return may_end(session.execute(let_go).scalar_one(), end)


def may_end(may_be_dropped: bool, end: End) -> bool:
    return end is End.GONE or may_be_dropped is (end is End.DROPPED)


def put_away(collection: str, end: End) -> Change:
    event = "original_kept" if end is End.RELEASED else "held_dropped"
    return Change({}, event, {"collection": collection})


def take_over(session: Session, new: NewMigration) -> None:
    """Take an adopted target out of the held ones. The collection's lock is the caller's.

    Raises:
        NoLongerKept: it was dropped, taken over or is somebody's.
    """
    if new.kind is not Kind.FORWARD or not new.target_adopted:
        return
    target = new.config.target
    taken = session.execute(
        delete(KeptRecord)
        .where(
            KeptRecord.collection == new.target_collection,
            KeptRecord.bot_id == new.bot_id,
            KeptRecord.reason == HoldReason.ROLLED_BACK.value,
            KeptRecord.source_collection == new.source_collection,
            KeptRecord.provider == target.provider,
            KeptRecord.model == target.model,
            KeptRecord.dimension == target.dimension,
        )
        .returning(KeptRecord.collection, KeptRecord.manner),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if taken is None or taken.manner != manner_column(target, new.target_collection):
        raise NoLongerKept
    if is_wanted(session, new.target_collection):
        raise NoLongerKept


def leave_behind(session: Session, before: Bot, migration: Migration, at: datetime) -> None:
    """What a switch pushes out of the bot's row is held."""
    previous = before.previous
    if previous is not None and previous.collection != migration.target_collection:
        _insert(session, retired(before, migration.id, None, None, at, at))


def target_of(migration: Migration, chunks: int, at: datetime, hold_hours: float) -> KeptCollection:
    """The target of an undone run, as it is held."""
    return KeptCollection(
        collection=migration.target_collection,
        bot_id=migration.bot_id,
        migration_id=migration.id,
        reason=HoldReason.ROLLED_BACK,
        embedding=migration.config.target,
        source_collection=migration.source_collection,
        chunks=chunks,
        content_digest=None,
        held_at=at,
        drop_after=at + timedelta(hours=hold_hours),
    )


def retired(
    bot: Bot,
    migration_id: UUID,
    chunks: int | None,
    digest: str | None,
    at: datetime,
    drop_after: datetime,
) -> KeptCollection:
    """The bot's previous collection, as it is held."""
    assert bot.previous is not None  # noqa: S101 # the caller looked
    return KeptCollection(
        collection=bot.previous.collection,
        bot_id=bot.bot_id,
        migration_id=migration_id,
        reason=HoldReason.RETIRED,
        embedding=bot.previous.embedding,
        source_collection=None,
        chunks=chunks,
        content_digest=digest,
        held_at=at,
        drop_after=drop_after,
    )


def _is_given_up(session: Session, bot: Bot, migration: Migration) -> bool:
    """Asked under the bot's lock: no start, switch or rollback can come in between."""
    if bot.live.generation != migration.new_generation or bot.previous is None:
        return False
    if bot.previous.collection != migration.source_collection:
        return False
    given_up = select(
        exists().where(
            BotRecord.bot_id == bot.bot_id,
            BotRecord.previous_expires_at <= clock(),
            ~has_live_migration(),
        )
    )
    return bool(session.execute(given_up).scalar_one())


def _insert(session: Session, held: KeptCollection) -> bool:
    """False when it is held already."""
    inserted = session.execute(
        insert(KeptRecord)
        .values(
            collection=held.collection,
            bot_id=held.bot_id,
            migration_id=held.migration_id,
            reason=held.reason.value,
            provider=held.embedding.provider,
            model=held.embedding.model,
            dimension=held.embedding.dimension,
            manner=manner_column(held.embedding, held.collection),
            source_collection=held.source_collection,
            chunks=held.chunks,
            content_digest=held.content_digest,
            held_at=held.held_at,
            drop_after=held.drop_after,
        )
        .on_conflict_do_nothing(index_elements=["collection"])
        .returning(KeptRecord.collection)
    )
    return inserted.one_or_none() is not None


def _update(database: Database, collection: str, **values: Any) -> None:
    with database.transaction() as session:
        session.execute(
            update(KeptRecord).where(KeptRecord.collection == collection).values(**values),
            execution_options={"synchronize_session": False},
        )


def _forget_previous(session: Session, bot_id: str) -> None:
    session.execute(
        update(BotRecord)
        .where(BotRecord.bot_id == bot_id)
        .values(**NOTHING_PREVIOUS, updated_at=clock()),
        execution_options={"synchronize_session": False},
    )


#: Each with whether we may drop it.
_KEPT = select(KeptRecord, may_be_dropped(KeptRecord.bot_id, KeptRecord.collection))


def as_held(row: KeptRecord, may_be_dropped: bool) -> KeptCollection:
    return KeptCollection(
        collection=row.collection,
        bot_id=row.bot_id,
        migration_id=row.migration_id,
        reason=HoldReason(row.reason),
        embedding=EmbeddingRef(
            provider=row.provider,
            model=row.model,
            dimension=row.dimension,
            **as_manner(row.manner, row.collection),
        ),
        source_collection=row.source_collection,
        chunks=row.chunks,
        content_digest=row.content_digest,
        held_at=row.held_at,
        drop_after=row.drop_after,
        stays=not may_be_dropped,
    )
