"""Figures for monitoring, asked for once for all who look within a few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from migrations.model.errors import ReembedError
from migrations.process.briefly import Briefly

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: How long figures are told to whoever looks. Nobody sees more than this of a change too late.
FRESH_SECONDS = 5.0
#: Longer than others wait who only look: a large table may take a second to be counted.
PATIENCE_SECONDS = 3.0


class Recent(Generic[T]):
    """Of one process; for all its threads."""

    def __init__(self, ask: Callable[[], T], monotonic: Callable[[], float]) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._briefly = Briefly(PATIENCE_SECONDS)
        self._lock = threading.Lock()
        self._found: T | None = None
        self._fresh_until = float("-inf")

    def get(self) -> T | None:
        """None while nobody answers: what was said before may be long untrue."""
        with self._lock:  # who looks meanwhile is told the same
            if self._monotonic() >= self._fresh_until:
                self._found = self._asked()
                self._fresh_until = self._monotonic() + FRESH_SECONDS
            return self._found

    def _asked(self) -> T | None:
        try:
            return self._briefly.ask(self._ask)
        except ReembedError as error:
            log.warning("figures_unknown", reason=error.message)
            return None
