"""A dispatcher that keeps what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class FakeDispatcher:
    """``sent`` holds every message, oldest first; ``fails_with`` is raised instead when set."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        #: Bots whose journals somebody is to apply.
        self.woken: list[str] = []
        self.fails_with: Exception | None = None
        #: Batches in the broker's line.
        self.line = 0

    def send(self, message: Mapping[str, Any]) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.sent.append(dict(message))

    def wake_applier(self, bot_id: str) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.woken.append(bot_id)

    def waiting(self) -> int:
        if self.fails_with is not None:
            raise self.fails_with
        return self.line
