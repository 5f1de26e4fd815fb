"""Journals: what applications write through us, in the order of the commits."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from migrations.lifecycle.change import storable
from migrations.model.chunks import Key
from migrations.model.errors import BotNotFound, IdempotencyConflict, JournalFull, Superseded
from migrations.model.states import BEFORE_SWITCH, Status
from migrations.model.writes import (
    PORTION,
    Appended,
    Entry,
    FailedWrite,
    Journal,
    OnceOnly,
    Write,
    WriteKind,
)
from migrations.store.engine import Database
from migrations.store.guarded import PLAINLY, has_status
from migrations.store.records import (
    BotRecord,
    JournalEntryRecord,
    JournalRecord,
    JournalRequestRecord,
    MigrationRecord,
    clock,
)

#: One that was woken this long ago and does nothing has not got the message.
WOKEN_SECONDS = 2.0
#: Applied entries that are kept in case they have to be applied again.
KEPT_ENTRIES = 10_000
#: How long what was passed over is told of.
FAILURES_KEPT_FOR = timedelta(days=7)
#: How long a request is known when it is sent again.
REQUESTS_KEPT_FOR = timedelta(days=1)
#: States in which the run that holds a journal is about to switch.
_ABOUT_TO_SWITCH = BEFORE_SWITCH | {Status.SWITCHING}


def is_held() -> ColumnElement[bool]:
    """A run is about to switch, and has nothing applied meanwhile."""
    return and_(JournalRecord.holds, _is_watched())


def _is_watched() -> ColumnElement[bool]:
    """A run is about to switch; one that has, or whose epoch is gone, does not any more."""
    return exists().where(
        MigrationRecord.id == JournalRecord.watched_for,
        MigrationRecord.epoch == JournalRecord.watched_in_epoch,
        has_status(*_ABOUT_TO_SWITCH),
    )


def _is_free() -> ColumnElement[bool]:
    """Nobody applies it."""
    return or_(JournalRecord.applier.is_(None), JournalRecord.applier_until < clock())


def _is_unwoken() -> ColumnElement[bool]:
    nobody_lately = or_(JournalRecord.wake_at.is_(None), JournalRecord.wake_at < clock())
    return and_(_is_free(), nobody_lately)


class SqlJournals:
    """Implements :class:`migrations.ports.journal_store.JournalStore`."""

    _database: Database

    def append(
        self,
        bot_id: str,
        writes: Sequence[Write],
        most_waiting: int,
        request: OnceOnly | None = None,
    ) -> Appended:
        with self._database.transaction() as session:
            last, applied, wake = _locked(session, bot_id)
            if request is not None and (earlier := _earlier(session, bot_id, request)):
                return earlier
            if last - applied + len(writes) > most_waiting:
                raise JournalFull(waiting=last - applied)
            upto = last + len(writes)
            moved: dict[str, Any] = {"last": upto}
            if wake:
                moved["wake_at"] = clock() + timedelta(seconds=WOKEN_SECONDS)
            _update(session, bot_id, moved)
            rows = [_row(bot_id, last + n, write) for n, write in enumerate(writes, 1)]
            session.execute(insert(JournalEntryRecord), rows)
            if request is not None:
                _remember(session, bot_id, request, last, upto)
            return Appended(last, upto, wake)

    def journal(self, bot_id: str) -> Journal:
        journal, entry = JournalRecord, JournalEntryRecord
        waiting_since = select(func.min(entry.at)).where(
            entry.bot_id == bot_id, entry.position == journal.applied + 1
        )
        failed = select(func.count()).where(entry.bot_id == bot_id, entry.code.is_not(None))
        wanted = select(
            journal.last,
            journal.applied,
            waiting_since.correlate(journal).scalar_subquery(),
            journal.waiting_for,
            is_held(),
            failed.scalar_subquery(),
        ).where(journal.bot_id == bot_id)
        with self._database.reading() as session:
            found = session.execute(wanted).one_or_none()
        return Journal() if found is None else Journal(*found)

    def failed_writes(
        self, bot_id: str, *, after: int = 0, upto: int | None = None, limit: int = 100
    ) -> list[FailedWrite]:
        entry = JournalEntryRecord
        wanted = (
            select(entry.position, entry.key, entry.code, entry.message)
            .where(entry.bot_id == bot_id, entry.code.is_not(None), entry.position > after)
            .order_by(entry.position)
            .limit(limit)
        )
        if upto is not None:
            wanted = wanted.where(entry.position <= upto)
        with self._database.reading() as session:
            return [FailedWrite(*row) for row in session.execute(wanted)]

    def unapplied(self, bot_id: str, limit: int) -> tuple[int, list[Entry]]:
        entry = JournalEntryRecord
        wanted = (
            select(JournalRecord.applied, entry.position, entry.kind, entry.key, entry.fields)
            .join(JournalRecord, JournalRecord.bot_id == entry.bot_id)
            .where(entry.bot_id == bot_id, entry.position > JournalRecord.applied)
            .order_by(entry.position)
            .limit(limit)
        )
        with self._database.reading() as session:
            found = session.execute(wanted).all()
        entries = [Entry(row.position, _write_of(row)) for row in found]
        return (found[0].applied if found else 0), entries

    def advance(
        self,
        bot_id: str,
        holder: str,
        generation: int,
        after: int,
        upto: int,
        done: Collection[Key] = (),
        failed: Sequence[FailedWrite] = (),
    ) -> bool:
        journal = JournalRecord
        still = exists().where(BotRecord.bot_id == bot_id, BotRecord.generation == generation)
        moved = (
            update(journal)
            .where(
                journal.bot_id == bot_id,
                journal.applier == holder,
                journal.applier_until > clock(),
                journal.applied == after,
                still,
            )
            .values(applied=upto, waiting_for=None)
            .returning(journal.bot_id)
        )
        with self._database.transaction() as session:
            # Ours before the bot is looked at: who waits for it in the statement itself would
            # see the bot as it was before.
            session.execute(
                select(journal.bot_id).where(journal.bot_id == bot_id).with_for_update()
            )
            if session.execute(moved, execution_options=PLAINLY).one_or_none() is None:
                return False
            _forget_failures(session, bot_id, done)
            for one in failed:
                _fail(session, bot_id, one)
            _forget_old(session, bot_id, upto)
            return True

    def apply_again(self, bot_id: str, after: int) -> None:
        with self._database.transaction() as session:
            journal = JournalRecord
            _update(session, bot_id, {"applied": after}, journal.applied > after)
            _update(session, bot_id, {"watched_from": after}, journal.watched_from > after)

    def put_off(self, bot_id: str, holder: str, reason: str, seconds: float) -> None:
        later = clock() + timedelta(seconds=seconds)
        with self._database.transaction() as session:
            _update(
                session,
                bot_id,
                {"waiting_for": storable(reason), "wake_at": later},
                JournalRecord.applier == holder,
            )

    def claim_journals(self, bot_id: str | None = None) -> list[str]:
        journal = JournalRecord
        is_meant = literal(True) if bot_id is None else journal.bot_id == bot_id
        claimed = (
            update(journal)
            .where(is_meant, journal.applied < journal.last, _is_unwoken(), ~is_held())
            .values(wake_at=clock() + timedelta(seconds=WOKEN_SECONDS))
            .returning(journal.bot_id)
        )
        with self._database.transaction() as session:
            return list(session.scalars(claimed, execution_options=PLAINLY))

    def watch_journal(self, migration_id: UUID, epoch: int, *, anew: bool = False) -> list[Key]:
        journal, entry = JournalRecord, JournalEntryRecord
        with self._database.transaction() as session:
            row = _watched(session, migration_id, epoch)
            since = row.applied if anew or row.watched_from is None else row.watched_from
            _update(session, row.bot_id, {"watched_from": journal.applied})
            # One who died may have written what he has not told of.
            upto = row.applied + PORTION
            wanted = (
                select(cast(entry.key, Text))
                .where(entry.bot_id == row.bot_id, entry.position > since, entry.position <= upto)
                .distinct()
            )
            return [json.loads(key) for key in session.scalars(wanted)]

    def hold_journal(self, migration_id: UUID, epoch: int) -> bool:
        with self._database.transaction() as session:
            row = _watched(session, migration_id, epoch)
            _update(session, row.bot_id, {"holds": True})
            return bool(row.is_free)

    def let_go_journal(self, migration_id: UUID, epoch: int) -> None:
        journal = JournalRecord
        let_go = (
            update(journal)
            .where(journal.watched_for == migration_id, journal.watched_in_epoch == epoch)
            .values(holds=False)
        )
        with self._database.transaction() as session:
            session.execute(let_go, execution_options=PLAINLY)


def _watched(session: Session, migration_id: UUID, epoch: int) -> Any:
    """The journal's row, locked, with this run as the one that watches it. Raises Superseded."""
    journal, run = JournalRecord, MigrationRecord
    is_run = and_(run.id == migration_id, run.epoch == epoch, has_status(*_ABOUT_TO_SWITCH))
    bot_id = session.scalars(select(run.bot_id).where(run.id == migration_id)).one_or_none()
    if bot_id is None:
        raise Superseded
    first = postgresql.insert(journal).values(bot_id=bot_id)
    session.execute(first.on_conflict_do_nothing())
    its = journal.bot_id == bot_id
    session.execute(select(journal.bot_id).where(its).with_for_update())
    # Asked once the row is ours: of an older epoch nothing comes after a newer one.
    if not session.execute(select(exists().where(is_run))).scalar_one():
        raise Superseded
    is_new = or_(
        journal.watched_for.is_distinct_from(migration_id),
        journal.watched_in_epoch.is_distinct_from(epoch),
    )
    _update(
        session,
        bot_id,
        {
            "watched_for": migration_id,
            "watched_in_epoch": epoch,
            "watched_from": null(),
            "holds": False,
        },
        is_new,
    )
    wanted = select(
        journal.bot_id, journal.applied, journal.watched_from, _is_free().label("is_free")
    )
    return session.execute(wanted.where(its)).one()


def _locked(session: Session, bot_id: str) -> tuple[int, int, bool]:
    """Last and applied place, and whether somebody has to be woken. Raises BotNotFound."""
    wanted = (
        select(JournalRecord.last, JournalRecord.applied, and_(_is_unwoken(), ~is_held()))
        .where(JournalRecord.bot_id == bot_id)
        .with_for_update(of=JournalRecord)
    )
    found = session.execute(wanted).one_or_none()
    if found is None:
        bot = select(BotRecord.bot_id).where(BotRecord.bot_id == bot_id)
        first = postgresql.insert(JournalRecord).from_select(["bot_id"], bot)
        session.execute(first.on_conflict_do_nothing())
        found = session.execute(wanted).one_or_none()
    if found is None:
        raise BotNotFound
    return found[0], found[1], found[2]


def _earlier(session: Session, bot_id: str, request: OnceOnly) -> Appended | None:
    row = session.get(JournalRequestRecord, (bot_id, request.key))
    if row is None:
        return None
    if row.digest != request.digest:
        raise IdempotencyConflict
    return Appended(row.after, row.upto, replayed=True)


def _remember(session: Session, bot_id: str, request: OnceOnly, after: int, upto: int) -> None:
    session.add(
        JournalRequestRecord(
            bot_id=bot_id, key=request.key, digest=request.digest, after=after, upto=upto
        )
    )


def _write_of(row: Any) -> Write:
    return Write(WriteKind(row.kind), row.key, row.fields)


def _row(bot_id: str, position: int, write: Write) -> dict[str, Any]:
    return {
        "bot_id": bot_id,
        "position": position,
        "kind": write.kind.value,
        "key": write.key,
        "fields": dict(write.fields),
    }


def _update(session: Session, bot_id: str, values: dict[str, Any], *only: Any) -> None:
    changed = update(JournalRecord).where(JournalRecord.bot_id == bot_id, *only).values(**values)
    session.execute(changed, execution_options=PLAINLY)


def _forget_failures(session: Session, bot_id: str, done: Collection[Key]) -> None:
    """Of keys that have been written well since."""
    entry = JournalEntryRecord
    if done:
        written = [json.dumps(key) for key in done]
        session.execute(
            delete(entry).where(
                entry.bot_id == bot_id,
                entry.code.is_not(None),
                cast(entry.key, Text).in_(written),
            ),
            execution_options=PLAINLY,
        )


def _fail(session: Session, bot_id: str, one: FailedWrite) -> None:
    entry = JournalEntryRecord
    session.execute(
        update(entry)
        .where(entry.bot_id == bot_id, entry.position == one.position)
        .values(code=one.code, message=storable(one.message)),
        execution_options=PLAINLY,
    )


def _forget_old(session: Session, bot_id: str, upto: int) -> None:
    entry, request = JournalEntryRecord, JournalRequestRecord
    is_old = or_(entry.code.is_(None), entry.at < clock() - FAILURES_KEPT_FOR)
    watched = select(JournalRecord.watched_from).where(
        JournalRecord.bot_id == bot_id, _is_watched()
    )
    until = func.least(upto - KEPT_ENTRIES, watched.scalar_subquery())  # which may be null
    for over in (
        delete(entry).where(entry.bot_id == bot_id, entry.position <= until, is_old),
        delete(request).where(request.bot_id == bot_id, request.at < clock() - REQUESTS_KEPT_FOR),
    ):
        session.execute(over, execution_options=PLAINLY)
