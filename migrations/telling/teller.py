"""Sends what happens to migrations to those who want to know, until they have taken it.

An event is told from the moment it is written. A watchdog decides to whom it goes, one row for
each, and whoever is free sends it; each endpoint is sent to in a thread of its own, so that one
that hangs holds up neither a migration nor the other endpoints.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from uuid import uuid4

import structlog

from migrations.model.notifications import Delivery, NewDelivery, Receipt
from migrations.process.services import Services
from migrations.settings import EndpointSettings, Settings
from migrations.telling.catalogue import message_id_of, message_of, message_of_a_test

log = structlog.get_logger(__name__)

#: Events that are looked at in one round.
EVENTS_AT_ONCE = 200
#: Messages that one process takes on in one round.
DELIVERIES_AT_ONCE = 20
#: Longer than sending all of them can take; a process that dies meanwhile leaves them for so long.
LEASE_SECONDS = 900.0
#: After the first failed try, the second, and so on; the last one from then on.
PAUSES_SECONDS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
GIVEN_UP_AFTER_HOURS = 24.0
#: What a receiver may ask to be left alone for.
LONGEST_PAUSE_SECONDS = 6 * 3600.0
ENDS_EVERY_SECONDS = 60.0


def endpoints_of(settings: Settings) -> Mapping[str, EndpointSettings]:
    """All, whatever they speak; a name is an endpoint of one kind only."""
    return {**settings.webhooks, **settings.notify}


def try_endpoint(services: Services, name: str) -> Receipt:
    """Send a message that says it is a test, once."""
    if name not in (known := endpoints_of(services.settings)):
        names = ", ".join(sorted(known)) or "none is set"
        return Receipt(f"There is no endpoint {name!r} ({names}).", is_final=True)
    return services.courier.send(name, f"test_{uuid4().hex}", message_of_a_test())


def in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="reembed-courier", daemon=True).start()


class Teller:
    """``apart`` does a piece of work while others go on."""

    def __init__(
        self, services: Services, apart: Callable[[Callable[[], None]], None] = in_a_thread
    ) -> None:
        self._services = services
        self._endpoints = endpoints_of(services.settings)
        self._apart = apart
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._ends_at = float("-inf")

    def look(self) -> None:
        """One round."""
        self._warn_of_ends()
        self._fan_out()
        if self._endpoints:
            self._give_up_old()
            self._send_what_is_due()

    def _warn_of_ends(self) -> None:
        hours, now = (
            self._services.settings.way_back_warning_hours,
            self._services.clock.monotonic(),
        )
        if hours and now >= self._ends_at:
            self._ends_at = now + ENDS_EVERY_SECONDS
            self._services.store.warn_of_ends(hours)

    def _fan_out(self) -> None:
        """Also where there is no endpoint: one that comes later is not told of what was before."""
        store = self._services.store
        while untold := store.untold(EVENTS_AT_ONCE):
            deliveries = []
            for one in untold:
                if (body := message_of(one)) is not None:
                    deliveries += [
                        NewDelivery(name, message_id_of(one), body)
                        for name, endpoint in self._endpoints.items()
                        if endpoint.wants(body["type"], one.migration.owner)
                    ]
            store.tell([one.event_id for one in untold], deliveries)
            if len(untold) < EVENTS_AT_ONCE:
                return

    def _give_up_old(self) -> None:
        for one in self._services.store.give_up_older(GIVEN_UP_AFTER_HOURS):
            _tell_given_up(one, f"It was not taken for {GIVEN_UP_AFTER_HOURS:g} hours.")

    def _send_what_is_due(self) -> None:
        with self._lock:
            free = self._endpoints.keys() - self._busy
        due = self._services.store.claim_deliveries(free, DELIVERIES_AT_ONCE, LEASE_SECONDS)
        for name in dict.fromkeys(one.endpoint for one in due):
            with self._lock:
                self._busy.add(name)
            self._begin(name, [one for one in due if one.endpoint == name])

    def _begin(self, name: str, due: Sequence[Delivery]) -> None:
        def work() -> None:
            try:
                self._send_all(due)
            except Exception as error:  # they are due again when their lease has ended
                log.error("telling_broke", endpoint=name, exc_info=error)
            finally:
                with self._lock:
                    self._busy.discard(name)

        self._apart(work)

    def _send_all(self, due: Sequence[Delivery]) -> None:
        """To one endpoint, until one is not taken: the others would not be, either."""
        for place, one in enumerate(due):
            receipt = self._services.courier.send(one.endpoint, one.message_id, one.body)
            self._note(one, receipt)
            if not receipt.is_taken:
                for other in due[place + 1 :]:
                    self._postpone(other, receipt)
                return

    def _note(self, one: Delivery, receipt: Receipt) -> None:
        store = self._services.store
        if receipt.reason is None:
            store.delivered(one.id)
            log.info("told", endpoint=one.endpoint, type=one.body["type"], attempts=one.attempts)
        elif receipt.is_final:
            store.give_up(one.id, receipt.reason)
            _tell_given_up(one, receipt.reason)
        else:
            self._postpone(one, receipt)
            log.warning("not_told", endpoint=one.endpoint, reason=receipt.reason)

    def _postpone(self, one: Delivery, receipt: Receipt) -> None:
        reason = receipt.reason or ""
        self._services.store.postpone(one.id, pause_seconds(one.attempts, receipt), reason)


def pause_seconds(attempts: int, receipt: Receipt) -> float:
    """After so many tries; a tenth more or less, so that not all come back at once."""
    ours = PAUSES_SECONDS[min(attempts, len(PAUSES_SECONDS)) - 1] * random.uniform(0.9, 1.1)  # noqa: S311
    return max(ours, min(receipt.again_after_seconds or 0.0, LONGEST_PAUSE_SECONDS))


def _tell_given_up(one: Delivery, reason: str) -> None:
    log.error(
        "notification_given_up",
        endpoint=one.endpoint,
        type=one.body["type"],
        message_id=one.message_id,
        attempts=one.attempts,
        reason=reason,
    )
