"""What the old collection held at the switch, what was written, and what was not forwarded."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    case,
    delete,
    exists,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from migrations.lifecycle.change import (
    breaches_told,
    conflicts_settled,
    conflicts_told,
    jsonable,
    storable,
)
from migrations.model.chunks import KeyRange
from migrations.model.errors import RollbackUnavailable, Superseded
from migrations.model.left_behind import (
    NOT_KNOWN_IN_COMMON,
    Conflict,
    ConflictPlace,
    ConflictReason,
    KeptConflict,
)
from migrations.model.snapshot import SnapshotPart, WrittenRow, key_hash
from migrations.store.engine import Database
from migrations.store.guarded import PLAINLY, apply, lock_run
from migrations.store.leases import at_work
from migrations.store.records import (
    ConflictRecord,
    MigrationRecord,
    SnapshotPartRecord,
    WrittenRowRecord,
    clock,
)

#: Keys that a warning names.
NAMED = 20


class SqlLateWrites:
    """Implements :class:`migrations.ports.late_write_store.LateWriteStore`."""

    _database: Database

    def keep_part(self, migration_id: UUID, epoch: int, part: SnapshotPart) -> None:
        with self._database.transaction() as session:
            _require_epoch(session, migration_id, epoch)
            _write(session, migration_id, part)

    def end_snapshot(self, migration_id: UUID, epoch: int, parts: int) -> None:
        with self._database.transaction() as session:
            _require_epoch(session, migration_id, epoch)
            _forget(session, migration_id, SnapshotPartRecord.part >= parts)

    def snapshot_part(self, migration_id: UUID, number: int) -> SnapshotPart | None:
        with self._database.reading() as session:
            row = session.get(SnapshotPartRecord, (migration_id, number))
            return None if row is None else _as_part(row)

    def replace_part(self, migration_id: UUID, sweeper: str, part: SnapshotPart) -> None:
        mine = MigrationRecord.sweeper == sweeper
        with self._database.transaction() as session:
            _require(session, migration_id, mine)
            _write(session, migration_id, part)

    def has_whole_snapshot(self, migration_id: UUID) -> bool:
        with self._database.reading() as session:
            return _is_whole(session, migration_id)

    def forget_snapshot(self, migration_id: UUID) -> None:
        with self._database.transaction() as session:
            _forget(session, migration_id)
            _forget_written(session, migration_id, clock())

    def forget_earlier_snapshots(self, migration_id: UUID) -> None:
        with self._database.transaction() as session:
            bot_id = session.get_one(MigrationRecord, migration_id).bot_id
            forget_snapshots_of(session, bot_id, but=migration_id)

    def note_written(self, migration_id: UUID, rows: Sequence[WrittenRow]) -> None:
        if not rows:
            return
        new = insert(WrittenRowRecord).values([_written_values(migration_id, r) for r in rows])
        earlier, later = WrittenRowRecord.was, new.excluded.was
        again = new.on_conflict_do_update(
            index_elements=["migration_id", "key_digest"],
            set_={
                "was": case((earlier.contains(later), earlier), else_=earlier + later),
                "now": new.excluded.now,
                "at": clock(),
            },
        )
        with self._database.transaction() as session:
            session.execute(again)

    def written_rows(self, migration_id: UUID, limit: int) -> list[WrittenRow]:
        wanted = (
            select(WrittenRowRecord)
            .where(WrittenRowRecord.migration_id == migration_id)
            .order_by(WrittenRowRecord.at.desc(), WrittenRowRecord.key_digest)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [
                WrittenRow(row.key, frozenset(row.was), row.now) for row in session.scalars(wanted)
            ]

    def forget_written(self, migration_id: UUID, older_than_seconds: float = 0) -> None:
        with self._database.transaction() as session:
            before = clock() - timedelta(seconds=older_than_seconds)
            _forget_written(session, migration_id, before)

    def record_conflicts(self, migration_id: UUID, conflicts: Sequence[Conflict]) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            for conflict in conflicts:
                _keep(session, migration_id, conflict)
            total = _count(session, ConflictRecord.migration_id == migration_id)
            came_back = _came_back(session, migration_id)
            apply(session, locked, conflicts_told(locked, total, came_back))

    def tell_breaches(self, migration_id: UUID, found: Sequence[str]) -> None:
        with self._database.transaction() as session:
            locked = lock_run(session, migration_id)
            apply(session, locked, breaches_told(locked, found))

    def conflicts(self, migration_id: UUID, limit: int = 100) -> list[Conflict]:
        wanted = (
            select(ConflictRecord)
            .where(ConflictRecord.migration_id == migration_id)
            .order_by(ConflictRecord.key.collate("C"))
            .limit(limit)
        )
        with self._database.reading() as session:
            return [
                Conflict(row.key, row.fields, ConflictReason(row.reason))
                for row in session.scalars(wanted)
            ]

    def conflict_page(
        self,
        bot_id: str,
        migration_id: UUID | None,
        after: ConflictPlace | None,
        limit: int,
    ) -> list[KeptConflict]:
        one = ConflictRecord
        place = (one.at, one.migration_id, one.key_digest)
        wanted = (
            select(one)
            .where(one.migration_id.in_(_runs_of(bot_id)))
            .order_by(*(column.desc() for column in place))
            .limit(limit)
        )
        if migration_id is not None:
            wanted = wanted.where(one.migration_id == migration_id)
        if after is not None:
            here = (after.at, after.migration_id, after.key_digest)
            wanted = wanted.where(tuple_(*place) < here)
        with self._database.reading() as session:
            return [
                KeptConflict(
                    Conflict(row.key, row.fields, ConflictReason(row.reason)),
                    ConflictPlace(row.at, row.migration_id, row.key_digest),
                )
                for row in session.scalars(wanted)
            ]

    def settle_conflicts(self, bot_id: str, keys: Collection[str] | None, by: str) -> int:
        settled = 0
        with self._database.transaction() as session:
            # In one order, so that no two who do this wait for each other in a circle.
            for run in session.scalars(_runs_of(bot_id).order_by(MigrationRecord.id)).all():
                settled += _settle(session, run, keys, by)
        return settled

    def count_conflicts(self, bot_id: str) -> int:
        with self._database.reading() as session:
            return _count(session, ConflictRecord.migration_id.in_(_runs_of(bot_id)))


def _require_epoch(session: Session, migration_id: UUID, epoch: int) -> None:
    _require(session, migration_id, at_work(epoch))


def _require(session: Session, migration_id: UUID, condition: ColumnElement[bool]) -> None:
    """Raises Superseded. The row stays locked, so that nobody takes over before the commit."""
    mine = session.execute(
        select(MigrationRecord.id)
        .where(MigrationRecord.id == migration_id, condition)
        .with_for_update(read=True)
    )
    if mine.one_or_none() is None:
        raise Superseded


def _write(session: Session, migration_id: UUID, part: SnapshotPart) -> None:
    values = {
        "after": part.within.after,
        "upto": part.within.upto,
        "rows": part.rows,
        "digests": part.digests,
    }
    session.execute(
        insert(SnapshotPartRecord)
        .values(migration_id=migration_id, part=part.number, **values)
        .on_conflict_do_update(index_elements=["migration_id", "part"], set_=values)
    )


def _is_whole(session: Session, migration_id: UUID) -> bool:
    """The part beyond the last key is the last that is kept."""
    wanted = exists().where(
        SnapshotPartRecord.migration_id == migration_id, SnapshotPartRecord.upto.is_(None)
    )
    return bool(session.execute(select(wanted)).scalar_one())


def hand_over_snapshot(session: Session, before: UUID, to: UUID) -> None:
    """The parts are the other run's from now on. Both rows' locks are the caller's.

    What a part holds is stored out of line and is not written again, so that this takes
    milliseconds at any size.

    Raises:
        RollbackUnavailable: there is none, or not all of one.
    """
    if not _is_whole(session, before):
        raise RollbackUnavailable(NOT_KNOWN_IN_COMMON)
    _forget(session, to)
    session.execute(
        update(SnapshotPartRecord)
        .where(SnapshotPartRecord.migration_id == before)
        .values(migration_id=to),
        execution_options={"synchronize_session": False},
    )


def _forget(session: Session, migration_id: UUID, *conditions: ColumnElement[bool]) -> None:
    session.execute(
        delete(SnapshotPartRecord).where(
            SnapshotPartRecord.migration_id == migration_id, *conditions
        ),
        execution_options={"synchronize_session": False},
    )


def _forget_written(session: Session, migration_id: UUID, before: ColumnElement[datetime]) -> None:
    session.execute(
        delete(WrittenRowRecord).where(
            WrittenRowRecord.migration_id == migration_id, WrittenRowRecord.at <= before
        ),
        execution_options={"synchronize_session": False},
    )


def _written_values(migration_id: UUID, row: WrittenRow) -> dict[str, Any]:
    return {
        "migration_id": migration_id,
        "key_digest": key_hash(row.key).hex(),
        "key": row.key,
        "was": sorted(row.was),
        "now": row.now,
    }


def _as_part(row: SnapshotPartRecord) -> SnapshotPart:
    return SnapshotPart(row.part, KeyRange(row.after, row.upto), bytes(row.digests))


def _keep(session: Session, migration_id: UUID, conflict: Conflict) -> None:
    values = {
        "fields": jsonable(conflict.fields),
        "reason": conflict.reason.value,
        "at": clock(),
    }
    digest = hashlib.sha256(conflict.key.encode("utf-8", "surrogatepass")).hexdigest()
    session.execute(
        insert(ConflictRecord)
        .values(migration_id=migration_id, key_digest=digest, key=storable(conflict.key), **values)
        .on_conflict_do_update(index_elements=["migration_id", "key_digest"], set_=values)
    )


def forget_snapshots_of(session: Session, bot_id: str, but: UUID | None = None) -> None:
    """What was kept of the source and written for the bot's migrations, one of them excepted."""
    over = select(MigrationRecord.id).where(MigrationRecord.bot_id == bot_id)
    if but is not None:
        over = over.where(MigrationRecord.id != but)
    for kept in (SnapshotPartRecord, WrittenRowRecord):
        session.execute(
            delete(kept).where(kept.migration_id.in_(over)),
            execution_options={"synchronize_session": False},
        )


def _runs_of(bot_id: str) -> Select[UUID]:
    return select(MigrationRecord.id).where(MigrationRecord.bot_id == bot_id)


def _settle(session: Session, run: UUID, keys: Collection[str] | None, by: str) -> int:
    of_run = ConflictRecord.migration_id == run
    if not _count(session, of_run):
        return 0
    locked = lock_run(session, run)
    judged = delete(ConflictRecord).where(of_run).returning(ConflictRecord.key_digest)
    if keys is not None:  # as they are listed
        judged = judged.where(ConflictRecord.key.in_(map(storable, keys)))
    settled = len(session.scalars(judged, execution_options=PLAINLY).all())
    if settled:
        left, came_back = _count(session, of_run), _came_back(session, run)
        apply(session, locked, conflicts_settled(locked, settled, left, came_back, by))
    return settled


def _came_back(session: Session, migration_id: UUID) -> list[str]:
    wanted = select(ConflictRecord.key).where(
        ConflictRecord.migration_id == migration_id,
        ConflictRecord.reason == ConflictReason.CAME_BACK.value,
    )
    return list(session.scalars(wanted.order_by(ConflictRecord.key.collate("C")).limit(NAMED)))


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    return int(
        session.execute(
            select(func.count()).select_from(ConflictRecord).where(condition)
        ).scalar_one()
    )
