"""One thread per process that says what this process works on, and hears when to stop.

The heartbeat is a guarded update in PostgreSQL, so the same statement that
keeps the watchdog away tells a worker that its epoch is gone. A process that
was stopped and continued finds its last answer too old and asks before it
does anything further.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from migrations.model.errors import StateStoreUnavailable, Superseded

log = structlog.get_logger(__name__)

#: Says "still at it"; False means this work must stop.
Say = Callable[[], bool]


class Beat:
    """One piece of work that is kept alive while somebody holds it."""

    def __init__(self, say: Say, every_seconds: float) -> None:
        self._say = say
        self._every = every_seconds
        self._stopped = threading.Event()
        self._heard_at = -math.inf  # never; the clock's zero may be a moment ago
        self._speaking = threading.Lock()
        self._ended = False
        self.holders = 0

    def speak(self) -> None:
        """Say it once. An unreachable database is no reason to stop what is under way."""
        with self._speaking:
            if not self._ended:
                self._speak()

    def end(self) -> None:
        """Return when it is not being said, and never will be again."""
        with self._speaking:
            self._ended = True

    def _speak(self) -> None:
        try:
            going_on = self._say()
        except StateStoreUnavailable as error:
            log.warning("heartbeat_failed", reason=error.message)
            return
        self._heard_at = time.monotonic()
        if not going_on:
            self._stopped.set()

    def must_go_on(self) -> None:
        """Return while the work may go on. Raises Superseded."""
        # Twice the interval: this process slept, or PostgreSQL is away; ask before acting.
        if not self._stopped.is_set() and time.monotonic() - self._heard_at > 2 * self._every:
            self.speak()
        if self._stopped.is_set():
            raise Superseded


class Pulse:
    """All beats of a process. Threads share one beat per key."""

    def __init__(self, every_seconds: float) -> None:
        self._every = every_seconds
        self._beats: dict[object, Beat] = {}
        self._lock = threading.Lock()
        self._thread_pid: int | None = None

    @contextmanager
    def keep_alive(self, key: object, say: Say) -> Iterator[Beat]:
        """Keep the beat going for the block. Raises Superseded if it may not even begin."""
        beat = self._enter(key, say)
        try:
            beat.must_go_on()
            yield beat
        finally:
            self._leave(key, beat)

    def _enter(self, key: object, say: Say) -> Beat:
        with self._lock:
            beat = self._beats.get(key) or self._beats.setdefault(key, Beat(say, self._every))
            beat.holders += 1
            self._ensure_thread()
        return beat

    def _leave(self, key: object, beat: Beat) -> None:
        with self._lock:
            beat.holders -= 1
            last = beat.holders == 0
            if last and self._beats.get(key) is beat:
                del self._beats[key]
        if last:
            beat.end()

    def _ensure_thread(self) -> None:
        if self._thread_pid == os.getpid():  # a forked child has the attribute but no thread
            return
        self._thread_pid = os.getpid()
        threading.Thread(target=self._run, name="reembed-pulse", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self._every)
            with self._lock:
                beats = list(self._beats.values())
            for beat in beats:
                try:
                    beat.speak()
                except Exception as error:  # the other beats need this thread
                    log.error("heartbeat_broke", exc_info=error)
