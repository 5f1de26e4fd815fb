"""What is due after a run has ended: why, for which collection, when, and how often it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Subquery,
    and_,
    case,
    delete,
    exists,
    literal,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.dml import ReturningUpdate

from migrations.model import messages
from migrations.model.runs import Due
from migrations.model.states import LIVE, Status
from migrations.store.bots import has_live_migration
from migrations.store.engine import Database
from migrations.store.guarded import PLAINLY, has_status, post
from migrations.store.leases import has_reverse_run, may_go_back
from migrations.store.records import BotRecord, DueRecord, KeptRecord, MigrationRecord, clock

_LEFT_BEHIND = (
    select(
        MigrationRecord.id.label("migration_id"),
        MigrationRecord.source_collection.label("collection"),
    )
    .join(BotRecord, may_go_back())
    .where(has_status(Status.COMPLETED))
)
#: What is or will be due: since when it may be done, and whether nothing stands in its way now.
_TO_COME: Mapping[Due, Select[*tuple[Any, ...]]] = {
    Due.SWEEP: _LEFT_BEHIND.add_columns(
        MigrationRecord.finished_at.label("since"), (~has_reverse_run(LIVE)).label("is_free")
    ),
    Due.RETIRE: _LEFT_BEHIND.add_columns(
        BotRecord.previous_expires_at.label("since"), (~has_live_migration()).label("is_free")
    ),
    Due.DROP: select(
        KeptRecord.migration_id,
        KeptRecord.collection,
        KeptRecord.drop_after.label("since"),
        true().label("is_free"),
    ).where(KeptRecord.drop_after.is_not(None)),
}
#: Claimed in one go, the longest due first; each is a message to be sent.
MOST_AT_ONCE = 100


class SqlDue:
    """Implements :class:`migrations.ports.due_store.DueStore`."""

    _database: Database

    def claim_due(self, what: Due, pauses: Sequence[float]) -> list[UUID]:
        to_come = _TO_COME[what].subquery()
        distances = [timedelta(seconds=seconds) for seconds in pauses]
        with self._database.transaction() as session:
            session.execute(_over(what, to_come), execution_options=PLAINLY)
            session.execute(_new(what, to_come, distances[0]))
            claimed = session.execute(
                _claimed(what, to_come, distances[1:]), execution_options=PLAINLY
            ).all()
            for migration_id, epoch, number, collection in claimed:
                body = message_of(what, migration_id, epoch, number, collection)
                post(session, migration_id, body)
            return [row[0] for row in claimed]

    def due_again(self, what: Due, migration_id: UUID, after_seconds: float) -> None:
        sooner = (
            update(DueRecord)
            .where(DueRecord.what == what.value, DueRecord.migration_id == migration_id)
            .values(at=clock() + timedelta(seconds=after_seconds))
        )
        with self._database.transaction() as session:
            session.execute(sooner, execution_options=PLAINLY)


def _is_row_of(what: Due, to_come: Subquery) -> ColumnElement[bool]:
    return and_(
        DueRecord.what == what.value,
        DueRecord.migration_id == to_come.c.migration_id,
        DueRecord.collection == to_come.c.collection,
    )


def _over(what: Due, to_come: Subquery) -> Delete:
    is_to_come = exists().where(_is_row_of(what, to_come))
    return delete(DueRecord).where(DueRecord.what == what.value, ~is_to_come)


def _new(what: Due, to_come: Subquery, first: timedelta) -> Insert:
    """Found here and not told by those who bring it about, who may be workers of before."""
    c = to_come.c
    is_known = exists().where(_is_row_of(what, to_come))
    rows = select(literal(what.value), c.migration_id, c.collection, c.since + first)
    return (
        insert(DueRecord)
        # In one order, so that no two who do this wait for each other in a circle.
        .from_select(
            ["what", "migration_id", "collection", "at"],
            rows.where(~is_known).order_by(c.migration_id, c.collection),
        )
        .on_conflict_do_nothing()
    )


def _claimed(
    what: Due, to_come: Subquery, later: Sequence[timedelta]
) -> ReturningUpdate[UUID, int, int, str]:
    """Of two at once the second waits for the first's rows and then finds them claimed."""
    pause = case(dict(enumerate(later)), value=DueRecord.times, else_=later[-1])
    is_its_time = DueRecord.at <= clock()
    next_ones = (
        select(DueRecord.migration_id, DueRecord.collection)
        .where(
            _is_row_of(what, to_come),
            is_its_time,
            to_come.c.since <= clock(),
            to_come.c.is_free,
        )
        .order_by(DueRecord.at)
        .limit(MOST_AT_ONCE)
        .correlate(None)
    )
    return (
        update(DueRecord)
        .where(
            DueRecord.what == what.value,
            DueRecord.migration_id == MigrationRecord.id,
            tuple_(DueRecord.migration_id, DueRecord.collection).in_(next_ones),
            is_its_time,  # asked of the row as it is once it is ours
        )
        .values(times=DueRecord.times + 1, at=clock() + pause)
        .returning(
            DueRecord.migration_id, MigrationRecord.epoch, DueRecord.times, DueRecord.collection
        )
    )


def message_of(
    what: Due, migration_id: UUID, epoch: int, number: int, collection: str
) -> Mapping[str, Any]:
    """What a worker is told when it is claimed for the ``number``-th time."""
    match what:
        case Due.SWEEP:
            return messages.sweep(migration_id, epoch, number)
        case Due.RETIRE:
            return messages.retire(migration_id, epoch, number)
        case Due.DROP:
            return messages.drop_kept(migration_id, epoch, number, collection)
