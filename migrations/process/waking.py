"""Waking somebody without waiting for the broker, which may be away or slow.

Whoever is not woken here is woken by the watchdog, a little later.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog

from migrations.model.errors import ReembedError

log = structlog.get_logger(__name__)


class Waker:
    """Hands names to ``tell``, in a thread of its own that is made when it is first needed.

    A name that waits already is not told of twice.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._waiting: dict[str, None] = {}
        self._changed = threading.Condition()
        self._thread_pid: int | None = None

    def wake(self, name: str) -> None:
        """Returns at once."""
        with self._changed:
            self._waiting[name] = None
            self._ensure_thread()
            self._changed.notify()

    def _ensure_thread(self) -> None:
        if self._thread_pid == os.getpid():  # a forked child has the attribute but no thread
            return
        self._thread_pid = os.getpid()
        threading.Thread(target=self._run, name="reembed-waker", daemon=True).start()

    def _run(self) -> None:
        while True:
            name = self._next()
            try:
                self._tell(name)
            except ReembedError as error:
                log.warning("not_woken", name=name, reason=error.message)
            except Exception as error:  # the others need this thread
                log.error("waking_broke", name=name, exc_info=error)

    def _next(self) -> str:
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            name = next(iter(self._waiting))
            del self._waiting[name]
            return name
