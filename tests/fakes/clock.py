"""A clock that moves only when told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Sleeping advances it and takes no time."""

    def __init__(self, start: datetime = BEGINNING) -> None:
        self._start = start
        self._elapsed_seconds = 0.0
        self._lock = Lock()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_seconds)

    def here(self) -> datetime:
        return self.now()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._elapsed_seconds += max(0.0, seconds)

    def monotonic(self) -> float:
        return self._elapsed_seconds
