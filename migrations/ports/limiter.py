"""The limiter all workers share, as the domain sees it, and its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID, uuid4

from migrations.model.pace import Pace

Purpose = Literal["migration", "query"]
Kind = Literal["requests", "tokens"]
KINDS: tuple[Kind, Kind] = ("requests", "tokens")


#: How long a run is held to its pace after it was said last: longer than PostgreSQL may be away
#: from those who say it again.
PACE_HOLDS_SECONDS = 120.0


@dataclass(frozen=True)
class Ticket:
    """One call that somebody wants to make; keep it until the call is made."""

    provider: str
    #: Whose turn it is counted as: a migration's id, anything for a query.
    flow: str
    #: What is reserved, and the estimate it was made from.
    tokens: int
    estimated: int
    purpose: Purpose = "migration"
    id: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class Rules:
    """What is set by hand. Limits are per minute; None where they are to be learned."""

    requests: float | None = None
    tokens: float | None = None
    burst_seconds: float = 0.5
    #: Share of the limit that migrations leave alone while queries come.
    query_share: float = 0.1


@dataclass(frozen=True)
class Learned:
    """What calls to a provider are held to now, as all processes together have learned it."""

    provider: str
    #: Per minute, set by hand or else announced.
    limits: Mapping[Kind, float]
    #: Of these limits; less than 1 for a while after refusals.
    share: float = 1.0
    #: Where no limit is known and calls were refused; it rises while none are.
    requests_per_minute: float | None = None
    #: How long everybody still waits, because the provider has asked for it.
    paused_seconds: float = 0.0
    #: None where none was in the last hours.
    refused_seconds_ago: float | None = None
    #: False of a model inside the workers, which asks for no turns.
    can_be_paced: bool = True

    @property
    def is_slowed(self) -> bool:
        """Whether refusals have made it slower than the limits that are known allow."""
        return self.share < 1 or self.requests_per_minute is not None

    @property
    def told(self) -> str | None:
        """What holds calls beside limits that are known, in a sentence; None where nothing does."""
        if self.paused_seconds > 0:
            return f"{self.provider} has asked to wait for {self.paused_seconds:.0f} s more."
        if self.requests_per_minute is not None:
            return (
                f"{self.provider} has refused calls without announcing a limit: it is asked at "
                f"most {self.requests_per_minute:.3g} times a minute, and more by and by."
            )
        if self.share < 1:
            return (
                f"{self.provider} has refused calls within its limit: {self.share:.0%} of it is "
                "used, and more by and by."
            )
        return None


@dataclass(frozen=True)
class Counts:
    """What a provider's limit has come to, over all processes, until Redis is lost."""

    refusals: int = 0
    #: Of all calls together.
    waited_seconds: float = 0.0
    #: Calls that wait now.
    waiting: int = 0


class RateLimiter(Protocol):
    """Spreads calls over a provider's limit, one limit per provider and key for all workers.

    For each real request: a ticket, ``acquire`` until it answers 0, the request,
    ``settle``. Nothing here raises; while the shared state is away each process
    keeps to a part of the limit that is its own. The rules: ``adapters/limiter/scripts.py``.
    """

    def ticket(
        self,
        provider: str,
        estimated_tokens: int,
        *,
        migration_id: UUID | None = None,
        purpose: Purpose = "migration",
    ) -> Ticket:
        """A call to be made; the estimate is corrected by what such estimates came to."""
        ...

    def waited(self, provider: str, seconds: float) -> None:
        """A call is about to wait for so long; for those who watch."""
        ...

    def counts(self) -> Mapping[str, Counts]:
        """By provider, those of the settings; none while the shared state is away."""
        ...

    def acquire(self, ticket: Ticket) -> float:
        """Seconds to wait before showing the same ticket again; 0: make the call now.

        A ticket that is not shown again within a second of its time is given up.
        """
        ...

    def settle(self, ticket: Ticket, tokens: int) -> None:
        """The call was made and took ``tokens`` (the provider's usage)."""
        ...

    def limits(self, provider: str) -> Mapping[Kind, float]:
        """Per minute, as set by hand or else announced to any process; only those known here."""
        ...

    def learned(self, provider: str) -> Learned | None:
        """What holds calls there; None while the shared state is away."""
        ...

    def all_learned(self) -> list[Learned] | None:
        """The same of every provider that was called in the last day."""
        ...

    def forget(self, provider: str) -> bool:
        """Forget what refusals have taught; False while the shared state is away."""
        ...

    def set_pace(self, provider: str, migration_id: UUID, pace: Pace | None) -> None:
        """One run's own pace there, in all processes, or none any more.

        It is forgotten when it is not said again within :data:`PACE_HOLDS_SECONDS`.
        """
        ...

    def learn(self, provider: str, headers: Mapping[str, str]) -> None:
        """Limits and what is left of them, from the headers of an answer."""
        ...

    def refused(self, provider: str) -> None:
        """The provider answered that its limit is reached."""
        ...

    def pause(self, provider: str, seconds: float) -> None:
        """The provider asked everybody to wait; a longer pause in force stays."""
        ...
