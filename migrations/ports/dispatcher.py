"""Celery as the domain sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Dispatcher(Protocol):
    """Celery, by task name. Sending twice is harmless; the watchdog makes up for a lost message."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Publish one outbox message, see :mod:`migrations.model.messages`."""
        ...

    def wake_applier(self, bot_id: str) -> None:
        """Have a worker apply what was written to a bot. Raises CheckpointsUnavailable."""
        ...

    def waiting(self) -> int:
        """Batches that no worker has taken yet. Raises CheckpointsUnavailable."""
        ...
