"""Golden queries of bots, in the authority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from migrations.model.golden import GoldenQuery


class GoldenStore(Protocol):
    def golden_queries(self, bot_id: str) -> list[GoldenQuery]:
        """In the order they were given in."""
        ...

    def set_golden_queries(self, bot_id: str, queries: Sequence[GoldenQuery]) -> None:
        """These and no others. Raises BotNotFound."""
        ...
