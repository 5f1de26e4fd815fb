"""Bots in the authority."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from migrations.model.bots import Bot


class BotStore(Protocol):
    def add_bot(self, bot: Bot) -> Bot:
        """Raises BotExists."""
        ...

    def bot(self, bot_id: str) -> Bot:
        """Raises BotNotFound."""
        ...

    def bots(
        self, owner: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[Bot]:
        """In the order of their ids: those that follow ``after``, the first ``limit`` of them."""
        ...

    def lock_for_drop(self, collection: str) -> AbstractContextManager[bool]:
        """Lock the rows that could make ``collection`` live; True when it is nobody's."""
        ...
