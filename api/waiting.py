"""Requests that wait for something to become true of a bot, and hold no thread meanwhile.

A route that has nothing to say yet calls :func:`wait_until`. Its run ends there, by an exception
that only the server understands: the thread goes back to its work, the connection into the
:class:`WaitingRoom`. One thread of the process reads all bots that are waited for in one
statement, four times a second or more often. Whoever's condition holds, or whose time is over,
is run again from its beginning, so that a token that was revoked meanwhile is refused like any
other.

Nothing is kept of the first run, no answer, no transaction and no line in the log: a route calls
:func:`wait_until` before it has done anything that must not be done twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import structlog
from flask import request

from migrations.model.bots import Bot
from migrations.model.errors import ReembedError

_log = structlog.get_logger(__name__)

#: How often is looked, while anybody waits: about the most that an answer comes late.
LOOK_SECONDS = 0.25
#: Longest that a request may ask to wait. Proxies give up a silent connection after a minute.
MOST_SECONDS = 50

#: Where the server puts the :class:`Chance` of a request. A client cannot: what it sends in a
#: header stands under a name that begins with HTTP_.
ENVIRON_KEY = "reembed.chance"


def wait_until(
    bot_id: str, until: Callable[[Bot], bool], seconds: float, *, look_seconds: float = LOOK_SECONDS
) -> None:
    """End this run of the request, and run it again once ``until(bot)`` or after ``seconds``.

    Comes back where the request is to be answered with what there is: its time is over, the
    waiting room is full, the process is about to end, or there is no server (in a test client).
    The seconds count from the first call of the request, however often it is run. While it
    waits, all are looked for every ``look_seconds``.

    ``until`` is asked of a freshly read row, in another thread, again and again: it must be
    quick and ask nobody. A bot that is no longer there counts as if it held.
    """
    chance: Chance | None = request.environ.get(ENVIRON_KEY)
    if chance is not None and chance.is_left(seconds):
        raise Parked(bot_id, until, chance.deadline, look_seconds)


def is_run_again() -> bool:
    """Whether this request has been run before, and has waited."""
    chance: Chance | None = request.environ.get(ENVIRON_KEY)
    return chance is not None and chance.was_taken


class Parked(BaseException):
    """No answer yet. Not an Exception, which Flask would make an answer of."""

    def __init__(
        self,
        bot_id: str,
        until: Callable[[Bot], bool],
        deadline: float,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        super().__init__(bot_id)
        self.bot_id = bot_id
        self.until = until
        #: By :func:`time.monotonic`.
        self.deadline = deadline
        self.look_seconds = look_seconds

    def is_due(self, bot: Bot | None) -> bool:
        if bot is None:
            return True
        try:
            return self.until(bot)
        except Exception:
            # Run again, the request meets by itself what is wrong, and is told.
            _log.exception("wait_condition_crashed", bot_id=self.bot_id)
            return True


class Guest(Protocol):
    """A connection whose request waits."""

    def go_on(self) -> None:
        """Have its request run again; called once for each time it is taken in."""
        ...


class WaitingRoom:
    """Of one process: the connections whose request waits, and who looks for them.

    ``look`` gives of these bots those that there are, and may fail or take long: nobody is kept
    longer by that than until his time is over.
    """

    def __init__(self, look: Callable[[Collection[str]], Mapping[str, Bot]], places: int) -> None:
        self._look = look
        self._places = places
        self._stays: dict[Guest, Parked] = {}
        self._changed = threading.Condition()
        self._is_open = True
        self._watcher: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._stays)

    def has_place(self) -> bool:
        """For one more; those who ask at the same time are all told the same."""
        return self._is_open and len(self._stays) < self._places

    def take_in(self, guest: Guest, parked: Parked) -> None:
        with self._changed:
            if self._is_open:
                # Without where it was raised: that holds all that the run has had in its hands.
                self._stays[guest] = parked.with_traceback(None)
                self._begin_to_watch()
                self._changed.notify()
                return
        guest.go_on()

    def let_go(self, guest: Guest) -> bool:
        """Forget one whose client has hung up. False if it is not, or no longer, here."""
        with self._changed:
            return self._stays.pop(guest, None) is not None

    def release_overdue(self) -> None:
        now = time.monotonic()
        self._release({g: p for g, p in self._staying().items() if p.deadline <= now})

    def close(self) -> None:
        """All are run again at once, and nobody is taken in any more."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._release(self._staying())

    def _begin_to_watch(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="waiting", daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        while self._is_open:
            with self._changed:
                while self._is_open and not self._stays:
                    self._changed.wait()
            self._pause()
            self.release_overdue()
            self._release_due()

    def _pause(self) -> None:
        """As long as the most impatient would have it; somebody who comes may be more so."""
        begun = time.monotonic()
        with self._changed:
            while self._is_open:
                wished = min((p.look_seconds for p in self._stays.values()), default=LOOK_SECONDS)
                left = begun + wished - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def _release_due(self) -> None:
        staying = self._staying()
        if not staying:
            return
        try:
            bots = self._look({parked.bot_id for parked in staying.values()})
        except ReembedError:
            return  # whoever is run again, at the latest when his time is over, is told
        except Exception:
            _log.exception("waiting_not_looked")
            return
        self._release({g: p for g, p in staying.items() if p.is_due(bots.get(p.bot_id))})

    def _staying(self) -> dict[Guest, Parked]:
        with self._changed:
            return dict(self._stays)

    def _release(self, due: Mapping[Guest, Parked]) -> None:
        for guest, parked in due.items():
            with self._changed:
                # It may have been released by another, and perhaps taken in again.
                if self._stays.get(guest) is not parked:
                    continue
                del self._stays[guest]
            guest.go_on()


class Chance:
    """To wait, of one request: kept from its first run to its last."""

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self._deadline: float | None = None

    @property
    def was_taken(self) -> bool:
        return self._deadline is not None

    @property
    def deadline(self) -> float:
        assert self._deadline is not None  # noqa: S101 -- asked after is_left alone
        return self._deadline

    def is_left(self, seconds: float) -> bool:
        """Whether it may wait (on); the first to ask says for how long."""
        if not self._room.has_place():
            return False
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + min(seconds, MOST_SECONDS)
        return now < self._deadline
