"""The readers' threads: one owner's requests never hold all of them.

A provider that hangs holds the threads of those who ask it for as long as a call may take. Who
may wait for a provider of somebody else's is known before a thread is given: by the token that
the request brings, and by its owner once a request of that token was let in. Beyond the most of
one, requests wait in a line of their own. While nobody hangs that costs nothing: threads are
given back within milliseconds.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from waitress.task import ThreadedTaskDispatcher

#: Tokens whose owner is remembered, the latest.
_REMEMBERED = 10_000


class Waiting(Protocol):
    """A connection with a request that wants a thread."""

    #: By :func:`time.monotonic`.
    queued_since: float

    @property
    def authorization(self) -> str:
        """As it was sent, "" for nothing."""
        ...

    #: To be called when the thread is done with the request; taken away by whoever calls it.
    gives_back: Callable[[], None] | None


class ReaderLane:
    """So many ``threads``, of which one owner's requests hold ``of_one`` at the most.

    Safe for threads.
    """

    def __init__(self, threads: int, of_one: int) -> None:
        self._threads = ThreadedTaskDispatcher()
        self._threads.set_thread_count(threads)
        self._most = of_one
        self._lock = threading.Lock()
        self._at_work: Counter[str] = Counter()
        self._lines: dict[str, deque[Waiting]] = {}
        self._owners: OrderedDict[str, str] = OrderedDict()

    def add_task(self, request: Waiting) -> None:
        with self._lock:
            whose = self._whose(request)
            if self._at_work[whose] < self._most:
                self._give(request, whose)
            else:
                self._lines.setdefault(whose, deque()).append(request)

    def belongs_to(self, authorization: str, owner: str) -> None:
        """Whose this is that was let in; from the next request on the owner's count together."""
        token = _token(authorization)
        with self._lock:
            self._owners[token] = owner
            self._owners.move_to_end(token)
            if len(self._owners) > _REMEMBERED:
                self._owners.popitem(last=False)

    def release(self, queued_before: float) -> None:
        """Let those have a thread who have waited since before: they are told that it is long."""
        with self._lock:
            for whose, line in list(self._lines.items()):
                while line and line[0].queued_since < queued_before:
                    self._give(line.popleft(), whose)
                if not line:
                    del self._lines[whose]

    def _whose(self, request: Waiting) -> str:
        token = _token(request.authorization)
        owner = self._owners.get(token)
        return token if owner is None else f"owner {owner}"

    def _give(self, request: Waiting, whose: str) -> None:
        self._at_work[whose] += 1
        request.gives_back = lambda: self._take_back(whose)
        self._threads.add_task(request)

    def _take_back(self, whose: str) -> None:
        with self._lock:
            self._at_work[whose] -= 1
            line = self._lines.get(whose)
            if line and self._at_work[whose] < self._most:
                self._give(line.popleft(), whose)
            if not line:
                self._lines.pop(whose, None)
            if not self._at_work[whose]:
                del self._at_work[whose]


def _token(authorization: str) -> str:
    """Nothing of it is kept but this."""
    return hashlib.blake2b(authorization.encode(), digest_size=16).hexdigest()
