"""Of what comes again and again: the first, and then one in so long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable


class Lately:
    """Remembers so many keys for so many seconds. Safe for threads."""

    def __init__(self, seconds: float, most: int, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._most = most
        self._monotonic = monotonic
        #: When it was last let through, and how many were left out since.
        self._known: dict[Hashable, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def let_through(self, key: Hashable) -> int | None:
        """How many like it were left out since the last one; None to leave this one out, too."""
        now = self._monotonic()
        with self._lock:
            last, left_out = self._known.get(key, (now - self._seconds, 0))
            if now - last < self._seconds:
                self._known[key] = last, left_out + 1
                return None
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[key] = now, 0
            return left_out
