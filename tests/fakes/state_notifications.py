"""The fake state store's events that are to be told, and what was not taken yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from migrations.lifecycle.change import Change
from migrations.model.notifications import Delivery, NewDelivery, Standing, Untold
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.store.notifications import WAY_BACK_ENDS
from tests.fakes.state_leases import FakeLeases


@dataclass(frozen=True)
class DeliveryRow:
    delivery: Delivery
    next_at: datetime
    reason: str | None = None
    is_open: bool = True
    is_given_up: bool = False


class FakeNotifications(FakeLeases):
    def untold(self, limit: int) -> list[Untold]:
        with self._transaction():
            there = [(n, *one) for n, one in self._untold.items() if one[0] in self._rows]
            return [Untold(n, event, self._row(id_).migration) for n, id_, event in there[:limit]]

    def tell(self, event_ids: Sequence[int], deliveries: Sequence[NewDelivery]) -> None:
        with self._transaction() as now:
            for one in deliveries:
                key = (one.endpoint, one.message_id)
                if key not in self._deliveries:
                    number = len(self._deliveries) + 1
                    new = Delivery(number, one.endpoint, one.message_id, one.body, 0, now)
                    self._deliveries[key] = DeliveryRow(new, now)
            for event_id in event_ids:
                self._untold.pop(event_id, None)

    def warn_of_ends(self, hours: float) -> int:
        with self._transaction() as now:
            ending = [m for m in self._all() if self._ends(m, timedelta(hours=hours), now)]
        for migration in ending:
            with self._held(migration.id) as held:
                expires_at = self._expires_at(migration).isoformat()
                self._apply(held, Change({}, WAY_BACK_ENDS, {"expires_at": expires_at}))
        return len(ending)

    def _ends(self, migration: Migration, window: timedelta, now: datetime) -> bool:
        if migration.status is not Status.COMPLETED or not self._may_go_back(migration):
            return False
        if any(event.name == WAY_BACK_ENDS for event in self._events[migration.id]):
            return False
        expires_at = self._expires_at(migration)
        assert migration.switched_at is not None
        return now < expires_at < now + window and expires_at - migration.switched_at > window

    def _expires_at(self, migration: Migration) -> datetime:
        previous = self._bot(migration.bot_id).previous
        assert previous is not None
        return previous.expires_at

    def claim_deliveries(
        self, endpoints: Collection[str], limit: int, lease_seconds: float
    ) -> list[Delivery]:
        with self._transaction() as now:
            due = [
                (key, row)
                for key, row in self._deliveries.items()
                if row.is_open and row.next_at <= now and key[0] in endpoints
            ]
            due.sort(key=lambda one: (one[1].next_at, one[1].delivery.id))
            claimed = []
            for key, row in due[:limit]:
                one = replace(row.delivery, attempts=row.delivery.attempts + 1)
                until = now + timedelta(seconds=lease_seconds)
                self._deliveries[key] = replace(row, delivery=one, next_at=until)
                claimed.append(one)
            return sorted(claimed, key=lambda one: one.id)

    def delivered(self, delivery_id: int) -> None:
        self._settle(delivery_id, is_open=False, reason=None)

    def postpone(self, delivery_id: int, seconds: float, reason: str) -> None:
        later = self._clock.now() + timedelta(seconds=seconds)
        self._settle(delivery_id, next_at=later, reason=reason)

    def give_up(self, delivery_id: int, reason: str) -> None:
        self._settle(delivery_id, is_open=False, is_given_up=True, reason=reason)

    def _settle(self, delivery_id: int, **values: object) -> None:
        with self._transaction():
            for key, row in self._deliveries.items():
                if row.delivery.id == delivery_id and row.is_open:
                    self._deliveries[key] = replace(row, **values)  # type: ignore[arg-type]

    def give_up_older(self, hours: float) -> list[Delivery]:
        with self._transaction() as now:
            since = now - timedelta(hours=hours)
            rows = list(self._deliveries.values())
            old = [r.delivery for r in rows if r.is_open and r.delivery.created_at < since]
        for one in old:
            self._settle(one.id, is_open=False, is_given_up=True)
        return old

    def standings(self) -> list[Standing]:
        with self._transaction():
            left = [row for row in self._deliveries.values() if row.is_open or row.is_given_up]
            of: dict[str, list[DeliveryRow]] = {}
            for row in sorted(left, key=lambda row: (row.delivery.endpoint, -row.delivery.id)):
                of.setdefault(row.delivery.endpoint, []).append(row)
            return [
                Standing(
                    endpoint,
                    sum(row.is_open for row in rows),
                    sum(row.is_given_up for row in rows),
                    next((row.reason for row in rows if row.reason is not None), None),
                )
                for endpoint, rows in of.items()
            ]
