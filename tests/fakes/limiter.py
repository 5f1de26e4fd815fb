"""A rate limiter for one process, by the same rules as the shared one."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from migrations.adapters.limiter_headers import announced
from migrations.limits import Purpose, Rules, Throttle, Ticket
from migrations.ports import Clock


class FakeRateLimiter:
    """``rules`` are set by hand, by provider; others are unlimited until they say otherwise."""

    def __init__(self, clock: Clock, rules: Mapping[str, Rules] | None = None) -> None:
        self.rules = dict(rules or {})
        #: What was granted and what it came to, in order.
        self.granted: list[Ticket] = []
        self.settled: list[tuple[Ticket, int]] = []
        self._clock = clock
        self._throttles: dict[str, Throttle] = {}
        self._ratios: dict[str, float] = {}

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

    def acquire(self, ticket: Ticket) -> float:
        wait = self._of(ticket.provider).acquire(ticket, self._clock.monotonic())
        if wait == 0:
            self.granted.append(ticket)
        return wait

    def settle(self, ticket: Ticket, tokens: int) -> None:
        self.settled.append((ticket, tokens))
        if ticket.estimated:
            self._ratios[ticket.provider] = tokens / ticket.estimated
        self._of(ticket.provider).settle(ticket, tokens, self._clock.monotonic())

    def learn(self, provider: str, headers: Mapping[str, str]) -> None:
        now = self._clock.monotonic()
        for kind, told in announced(headers).items():
            self._of(provider).learn(kind, told.per_minute, told.remaining, now)

    def refused(self, provider: str) -> None:
        self._of(provider).refused(self._clock.monotonic())

    def pause(self, provider: str, seconds: float) -> None:
        self._of(provider).pause(seconds, self._clock.monotonic())

    def wait_seconds(self, provider: str) -> float:
        return self._of(provider).paused_seconds(self._clock.monotonic())

    def _of(self, provider: str) -> Throttle:
        if provider not in self._throttles:
            rules = self.rules.get(provider, Rules())
            self._throttles[provider] = Throttle(rules, self._clock.monotonic())
        return self._throttles[provider]
