"""What was paid to providers, by what it was for, in tokens and in money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """What one model was paid for one purpose."""

    provider: str
    model: str
    purpose: str
    #: By a migration; else by errands: registrations, estimates, questions of readers.
    by_migration: bool
    requests: int
    tokens: int


@dataclass(frozen=True)
class PricedSpend:
    spent: Spent
    #: US dollars per million tokens, of today; None where nobody has said it.
    price: float | None

    @property
    def cost_usd(self) -> float | None:
        return None if self.price is None else round(self.price * self.spent.tokens / 1e6, 9)


@dataclass(frozen=True)
class Bill:
    """All that a migration, a bot or an owner has paid for."""

    lines: Sequence[PricedSpend]

    @property
    def requests(self) -> int:
        return sum(line.spent.requests for line in self.lines)

    @property
    def tokens(self) -> int:
        return sum(line.spent.tokens for line in self.lines)

    @property
    def cost_usd(self) -> float:
        """Of what has a price."""
        return round(sum(line.cost_usd or 0.0 for line in self.lines), 9)

    @property
    def unpriced_tokens(self) -> int:
        return sum(line.spent.tokens for line in self.lines if line.price is None)
