"""Events that are to be told, and one row for each message and endpoint."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import Session

from migrations.lifecycle.change import Change
from migrations.model.notifications import Delivery, NewDelivery, Standing, Untold
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.store.engine import Database
from migrations.store.guarded import PLAINLY, apply, has_status, lock_run
from migrations.store.history import as_event
from migrations.store.leases import may_go_back
from migrations.store.records import (
    BotRecord,
    DeliveryRecord,
    EventRecord,
    MigrationRecord,
    as_migration,
    clock,
)

#: How long a row is kept of what was taken, and of what was given up.
SENT_KEPT_FOR, GIVEN_UP_KEPT_FOR = timedelta(days=7), timedelta(days=30)
WAY_BACK_ENDS = "way_back_ends"


class SqlNotifications:
    """Implements :class:`migrations.ports.notification_store.NotificationStore`."""

    _database: Database

    def untold(self, limit: int) -> list[Untold]:
        wanted = (
            select(EventRecord, MigrationRecord)
            .join(MigrationRecord, MigrationRecord.id == EventRecord.migration_id)
            .where(EventRecord.told_at.is_(None))
            .order_by(EventRecord.id)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [
                Untold(event.id, as_event(event), as_migration(migration))
                for event, migration in session.execute(wanted)
            ]

    def tell(self, event_ids: Sequence[int], deliveries: Sequence[NewDelivery]) -> None:
        told = (
            update(EventRecord)
            .where(EventRecord.id.in_(event_ids), EventRecord.told_at.is_(None))
            .values(told_at=clock())
        )
        with self._database.transaction() as session:
            if deliveries:
                _forget_long_past(session)
                rows = [vars(one) for one in deliveries]
                session.execute(insert(DeliveryRecord).values(rows).on_conflict_do_nothing())
            session.execute(told, execution_options=PLAINLY)

    def warn_of_ends(self, hours: float) -> int:
        return sum(self._warn(run, hours) for run in self._ending(hours))

    def _ending(self, hours: float) -> list[Migration]:
        with self._database.reading() as session:
            return [as_migration(row) for row in session.scalars(_ending(hours))]

    def _warn(self, run: Migration, hours: float) -> bool:
        """The row is locked first: of two at once the second finds the event of the first."""
        with self._database.transaction() as session:
            locked = lock_run(session, run.id)
            still = _ending(hours).where(MigrationRecord.id == run.id)
            expires_at = session.execute(
                still.with_only_columns(BotRecord.previous_expires_at)
            ).scalar_one_or_none()
            if expires_at is None:
                return False
            detail = {"expires_at": expires_at.isoformat()}
            apply(session, locked, Change({}, WAY_BACK_ENDS, detail))
            return True

    def claim_deliveries(
        self, endpoints: Collection[str], limit: int, lease_seconds: float
    ) -> list[Delivery]:
        if not endpoints:
            return []
        due = (
            select(DeliveryRecord.id)
            .where(
                _is_open(),
                DeliveryRecord.next_at <= clock(),
                DeliveryRecord.endpoint.in_(sorted(endpoints)),
            )
            .order_by(DeliveryRecord.next_at, DeliveryRecord.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")  # or it might be asked more than once, and lock more than these
        )
        claimed = (
            update(DeliveryRecord)
            .where(DeliveryRecord.id.in_(select(due.c.id)))
            .values(
                attempts=DeliveryRecord.attempts + 1,
                next_at=clock() + timedelta(seconds=lease_seconds),
            )
            .returning(DeliveryRecord)
        )
        with self._database.transaction() as session:
            rows = session.scalars(claimed, execution_options=PLAINLY)
            return sorted(map(_as_delivery, rows), key=lambda one: one.id)

    def delivered(self, delivery_id: int) -> None:
        self._settle(delivery_id, sent_at=clock(), reason=None)

    def postpone(self, delivery_id: int, seconds: float, reason: str) -> None:
        self._settle(delivery_id, next_at=clock() + timedelta(seconds=seconds), reason=reason)

    def give_up(self, delivery_id: int, reason: str) -> None:
        self._settle(delivery_id, given_up_at=clock(), reason=reason)

    def _settle(self, delivery_id: int, **values: Any) -> None:
        row = (DeliveryRecord.id == delivery_id) & _is_open()
        with self._database.transaction() as session:
            session.execute(
                update(DeliveryRecord).where(row).values(**values), execution_options=PLAINLY
            )

    def give_up_older(self, hours: float) -> list[Delivery]:
        old = DeliveryRecord.created_at < clock() - timedelta(hours=hours)
        given_up = (
            update(DeliveryRecord)
            .where(_is_open(), old)
            .values(given_up_at=clock())
            .returning(DeliveryRecord)
        )
        with self._database.transaction() as session:
            return [
                _as_delivery(row) for row in session.scalars(given_up, execution_options=PLAINLY)
            ]

    def standings(self) -> list[Standing]:
        with self._database.reading() as session:
            return [Standing(*row) for row in session.execute(_STANDINGS)]


def _ending(hours: float) -> Any:
    window = timedelta(hours=hours)
    was_told = exists().where(
        EventRecord.migration_id == MigrationRecord.id, EventRecord.name == WAY_BACK_ENDS
    )
    return (
        select(MigrationRecord)
        .join(BotRecord, may_go_back())
        .where(
            has_status(Status.COMPLETED),
            BotRecord.previous_expires_at > clock(),
            BotRecord.previous_expires_at < clock() + window,
            BotRecord.previous_expires_at - MigrationRecord.switched_at > window,
            ~was_told,
        )
    )


def _is_open() -> ColumnElement[bool]:
    return DeliveryRecord.sent_at.is_(None) & DeliveryRecord.given_up_at.is_(None)


def _forget_long_past(session: Session) -> None:
    long_past = or_(
        DeliveryRecord.sent_at < clock() - SENT_KEPT_FOR,
        DeliveryRecord.given_up_at < clock() - GIVEN_UP_KEPT_FOR,
    )
    session.execute(delete(DeliveryRecord).where(long_past), execution_options=PLAINLY)


def _as_delivery(row: DeliveryRecord) -> Delivery:
    return Delivery(
        id=row.id,
        endpoint=row.endpoint,
        message_id=row.message_id,
        body=row.body,
        attempts=row.attempts,
        created_at=row.created_at,
    )


_STANDINGS = (
    select(
        DeliveryRecord.endpoint,
        func.count().filter(_is_open()),
        func.count().filter(DeliveryRecord.given_up_at.is_not(None)),
        func.array_agg(aggregate_order_by(DeliveryRecord.reason, DeliveryRecord.id.desc())).filter(
            DeliveryRecord.reason.is_not(None)
        )[1],
    )
    .where(DeliveryRecord.sent_at.is_(None))
    .group_by(DeliveryRecord.endpoint)
    .order_by(DeliveryRecord.endpoint.collate("C"))
)
