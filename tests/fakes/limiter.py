"""A rate limiter for one process: plain buckets for what is set by hand, and nothing learned."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from uuid import UUID

from migrations.adapters.limiter.alone import PlainBuckets
from migrations.adapters.providers.catalogue import LOCAL_PROVIDER
from migrations.model.pace import Pace
from migrations.ports.clock import Clock
from migrations.ports.limiter import KINDS, Counts, Kind, Learned, Purpose, Rules, Ticket


class CalledOutOfTurn(BaseException):
    """A provider was called past the limiter: no handler of the domain may hide that."""


class FakeRateLimiter:
    """Limits are set by :meth:`limit`; a provider without one is unlimited."""

    def __init__(self, clock: Clock) -> None:
        #: What was granted and what it came to, in order, and who refused.
        self.granted: list[Ticket] = []
        self.settled: list[tuple[Ticket, int]] = []
        self.refusals: list[str] = []
        #: Turns that were granted and not used yet, by provider.
        self._open: Counter[str] = Counter()
        self._waited: defaultdict[str, float] = defaultdict(float)
        self._clock = clock
        self._buckets: dict[str, PlainBuckets] = {}
        self._limits: dict[str, dict[Kind, float]] = {}
        self._paused_until: dict[str, float] = {}
        self._ratios: dict[str, float] = {}
        #: What refusals have taught, as a test says it.
        self.has_learned: dict[str, Learned] = {}
        #: What runs may use of providers, where that is set; by provider and run.
        self.paces: dict[tuple[str, UUID], Pace] = {}

    def limit(self, provider: str, rules: Rules) -> None:
        self._buckets[provider] = PlainBuckets(rules, self._clock.monotonic())
        by_hand = {"requests": rules.requests, "tokens": rules.tokens}
        self._limits[provider] = {kind: by_hand[kind] for kind in KINDS if by_hand[kind]}

    def limits(self, provider: str) -> Mapping[Kind, float]:
        return self._limits.get(provider, {})

    def ticket(
        self,
        provider: str,
        estimated_tokens: int,
        *,
        migration_id: UUID | None = None,
        purpose: Purpose = "migration",
    ) -> Ticket:
        tokens = max(1, round(estimated_tokens * self._ratios.get(provider, 1.0)))
        return Ticket(provider, str(migration_id or ""), tokens, estimated_tokens, purpose)

    def waited(self, provider: str, seconds: float) -> None:
        self._waited[provider] += seconds

    def counts(self) -> Mapping[str, Counts]:
        refused = Counter(self.refusals)
        return {
            provider: Counts(refused[provider], self._waited[provider])
            for provider in {*self._buckets, *refused, *self._waited}
        }

    def acquire(self, ticket: Ticket) -> float:
        wait, buckets = self.wait_seconds(ticket.provider), self._buckets.get(ticket.provider)
        if wait == 0 and buckets is not None:
            wait = buckets.acquire(ticket, self._clock.monotonic())
        if wait == 0:
            self.granted.append(ticket)
            self._open[ticket.provider] += 1
        return wait

    def use_turn(self, provider: str) -> None:
        """The provider is being called. Raises CalledOutOfTurn."""
        if not self._open[provider]:
            raise CalledOutOfTurn(provider)
        self._open[provider] -= 1

    def settle(self, ticket: Ticket, tokens: int) -> None:
        self.settled.append((ticket, tokens))
        if ticket.estimated:
            self._ratios[ticket.provider] = tokens / ticket.estimated
        if buckets := self._buckets.get(ticket.provider):
            buckets.settle(ticket, tokens)

    def learned(self, provider: str) -> Learned | None:
        if provider in self.has_learned:
            return self.has_learned[provider]
        if provider == LOCAL_PROVIDER:
            return Learned(provider, {}, can_be_paced=False)
        return Learned(provider, self.limits(provider), paused_seconds=self.wait_seconds(provider))

    def all_learned(self) -> list[Learned] | None:
        return list(self.has_learned.values())

    def forget(self, provider: str) -> bool:
        self.has_learned.pop(provider, None)
        return True

    def set_pace(self, provider: str, migration_id: UUID, pace: Pace | None) -> None:
        self.paces.pop((provider, migration_id), None)
        if pace is not None:
            self.paces[provider, migration_id] = pace

    def learn(self, provider: str, headers: Mapping[str, str]) -> None:
        pass

    def refused(self, provider: str) -> None:
        self.refusals.append(provider)
        if buckets := self._buckets.get(provider):
            buckets.refused(self._clock.monotonic())

    def pause(self, provider: str, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        self._paused_until[provider] = max(until, self._paused_until.get(provider, until))

    def wait_seconds(self, provider: str) -> float:
        return max(0.0, self._paused_until.get(provider, 0.0) - self._clock.monotonic())
