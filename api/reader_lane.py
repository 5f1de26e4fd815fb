"""The readers' threads: one owner's requests never hold all of them.

A provider that hangs holds the threads of those who ask it for as long as a call may take. Who
may wait for a provider of somebody else's is known before a thread is given: by the token that
the request brings, and by its owner once a request of that token was let in. Until then a token
is given one thread, whatever it sends: else what it holds and what its owner holds would be all.
Beyond the most of one, requests wait in a line of their own. While nobody hangs that costs
nothing: threads are given back within milliseconds.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
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


@dataclass(eq=False)
class _Group:
    """What one owner, or one token that nobody knows yet, has sent."""

    name: str
    #: Threads that it may hold.
    most: int
    at_work: int = 0
    line: deque[Waiting] = field(default_factory=deque)
    #: Of whose requests these are, since that is known.
    joined: _Group | None = None


class ReaderLane:
    """So many ``threads``, of which one owner's requests hold ``of_one`` at the most.

    Several tokens of one owner, each of them new to this process, hold one more each until they
    are let in. Safe for threads.
    """

    def __init__(self, threads: int, of_one: int) -> None:
        self._threads = ThreadedTaskDispatcher()
        self._threads.set_thread_count(threads)
        self._most = of_one
        self._lock = threading.Lock()
        #: Of those who hold a thread or wait for one.
        self._groups: dict[str, _Group] = {}
        self._owners: OrderedDict[str, str] = OrderedDict()

    def add_task(self, request: Waiting) -> None:
        token = _token(request.authorization)
        with self._lock:
            owner = self._owners.get(token)
            group = self._group(token, 1) if owner is None else self._group_of(owner)
            group.line.append(request)
            self._advance(group)

    def belongs_to(self, authorization: str, owner: str) -> None:
        """Whose this is that was let in: from now on all of it counts as the owner's."""
        token = _token(authorization)
        with self._lock:
            self._owners[token] = owner
            self._owners.move_to_end(token)
            if len(self._owners) > _REMEMBERED:
                self._owners.popitem(last=False)
            unknown = self._groups.pop(token, None)
            if unknown is not None:
                unknown.joined = group = self._group_of(owner)
                group.at_work += unknown.at_work
                waiting = (*group.line, *unknown.line)
                group.line = deque(sorted(waiting, key=lambda request: request.queued_since))
                self._advance(group)

    def release(self, queued_before: float) -> None:
        """Let those have a thread who have waited since before: they are told that it is long."""
        with self._lock:
            for group in self._groups.values():
                while group.line and group.line[0].queued_since < queued_before:
                    self._give(group.line.popleft(), group)

    def _group_of(self, owner: str) -> _Group:
        return self._group(f"owner {owner}", self._most)

    def _group(self, name: str, most: int) -> _Group:
        return self._groups.setdefault(name, _Group(name, most))

    def _advance(self, group: _Group) -> None:
        while group.line and group.at_work < group.most:
            self._give(group.line.popleft(), group)

    def _give(self, request: Waiting, group: _Group) -> None:
        group.at_work += 1
        request.gives_back = lambda: self._take_back(group)
        self._threads.add_task(request)

    def _take_back(self, given_to: _Group) -> None:
        with self._lock:
            group = given_to.joined or given_to
            group.at_work -= 1
            self._advance(group)
            if not group.at_work:
                del self._groups[group.name]


def _token(authorization: str) -> str:
    """Nothing of it is kept but this."""
    return hashlib.blake2b(authorization.encode(), digest_size=16).hexdigest()
