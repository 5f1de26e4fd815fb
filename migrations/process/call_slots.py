"""How many calls to a provider a process has under way, apart from how many threads it has.

A provider takes a fixed time for an answer, so what a worker moves is decided by the calls
it has under way. A thread that reads or stores meanwhile would leave a call unmade: so there
are more threads than calls.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: How often somebody who waits for a slot asks whether the work is still wanted.
ASK_SECONDS = 0.5


class CallSlots:
    """Of one process; each provider has as many, so that a slow one does not hold up others."""

    def __init__(self, at_once: int) -> None:
        self._slots: dict[str, threading.BoundedSemaphore] = defaultdict(
            lambda: threading.BoundedSemaphore(at_once)
        )
        self._lock = threading.Lock()

    @contextmanager
    def one(self, provider: str, must_go_on: Callable[[], None]) -> Iterator[None]:
        """Hold a slot. Raises what ``must_go_on`` raises while it is waited for."""
        with self._lock:
            slot = self._slots[provider]
        while not slot.acquire(timeout=ASK_SECONDS):
            must_go_on()
        try:
            yield
        finally:
            slot.release()
