"""PostgreSQL's clock, which alone says when a deadline or a window is over.

It is asked now and then, and carried on in between by the time that passes here, which is
the same on a host whose own clock is hours ahead or behind.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from migrations.model.errors import StateStoreUnavailable
from migrations.ports.clock import Clock
from migrations.ports.watch_store import WatchStore

#: Soon enough for a clock that is put right, or a host that was asleep.
ASKED_EVERY_SECONDS = 60.0


class DatabaseClock:
    """Safe to share between threads."""

    def __init__(self, store: WatchStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        #: What it said last, and when that was by this host's monotonic time.
        self._said: tuple[datetime, float] | None = None
        self._ask_at = float("-inf")

    def now(self) -> datetime:
        """Aware, UTC.

        Raises:
            StateStoreUnavailable: it has never been asked yet and does not answer.
        """
        here = self._clock.monotonic()
        if self._said is None or here >= self._ask_at:
            self._ask_at = here + ASKED_EVERY_SECONDS  # first, so that one thread asks
            self._ask()
        assert self._said is not None  # noqa: S101 # or asking has raised
        said, at = self._said
        return said + timedelta(seconds=self._clock.monotonic() - at)

    def _ask(self) -> None:
        try:
            self._said = self._store.now(), self._clock.monotonic()
        except StateStoreUnavailable:
            if self._said is None:
                raise
