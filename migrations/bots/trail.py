"""The trail: which token did what, from where. For admins, and for a while."""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from migrations.model.access import Deed, TrailEntry, TrailSearch
from migrations.model.errors import StateStoreUnavailable
from migrations.process.lately import Lately
from migrations.process.services import Services

log = structlog.get_logger(__name__)

#: The same thing asked again, or refused again, is kept once in so long: who polls would
#: write as often as they read.
AGAIN_SECONDS = 60
#: How many deeds a process remembers for that.
REMEMBERED = 10_000
#: What is too old or too much is looked for at every so manieth deed that is kept.
TRIM_EVERY = 100

#: The route by which an application writes, perhaps many times a second.
CHUNKS = "/bots/<bot_id>/chunks"


class Trail:
    """Safe for threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lately = Lately(AGAIN_SECONDS, REMEMBERED, services.clock.monotonic)
        self._lock = threading.Lock()
        self._kept = 0

    def note(self, deed: Deed) -> None:
        """Keep it. What changed something always is; else, once in a while.

        A store that is away costs the entry, not the answer: the log has a line of it, too.
        """
        if _changed_something(deed) or self._lately.let_through(deed) is not None:
            try:
                self._services.store.record_deed(deed)
                self._trim_now_and_then(deed.token_id)
            except StateStoreUnavailable as error:
                log.warning("trail_not_kept", error=error.message, **vars(deed))

    def _trim_now_and_then(self, token_id: int) -> None:
        with self._lock:
            self._kept += 1
            due = self._kept % TRIM_EVERY == 0
        if due:
            most = self._services.settings.trail_entries_per_token
            self._services.store.trim_trail(token_id, self._period, most)

    @property
    def _period(self) -> timedelta:
        return timedelta(days=self._services.settings.trail_days)

    def read(self, search: TrailSearch) -> list[TrailEntry]:
        """As :meth:`migrations.ports.trail_store.TrailStore.trail`."""
        return self._services.store.trail(self._period, search)


_OFTEN = frozenset({"/bots/<bot_id>/search", "/v1/embeddings", CHUNKS})


def _changed_something(deed: Deed) -> bool:
    """What comes as often as readers and writers ask: of that one in a while tells enough."""
    if deed.route in _OFTEN:
        return False
    return deed.method not in {"GET", "HEAD", "OPTIONS"} and deed.status < 400
