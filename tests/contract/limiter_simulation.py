"""The limiter on a real Redis, and threads that call a provider, on a time that is simulated."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from redis import Redis

from devstack.provider.limits import Limits
from migrations.adapters.limiter import scripts
from migrations.adapters.limiter.accounts import Account
from migrations.adapters.limiter.limiter import RedisRateLimiter
from migrations.ports.limiter import Purpose, Rules, Ticket

PROVIDER = "mine"
#: Ten requests a second.
TEN = Rules(requests=600)
#: The scripts ask this instead of Redis' clock.
SIMULATED_CLOCK = "local now = tonumber(redis.call('GET', 'simulated-time'))"


class SimulatedTime:
    """Of Redis and of this process alike; sleeping takes no time."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url)
        self._now = 0.0
        self.move_to(1_800_000_000.0)

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.move_to(self._now + seconds)

    def move_to(self, now: float) -> None:
        self._now = now
        self._redis.set("simulated-time", f"{now:.6f}")

    def close(self) -> None:
        self._redis.close()


@contextmanager
def simulated_time(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedTime]:
    """For limiters that are made within the block."""
    for name in ("ACQUIRE", "SETTLE", "LEARN", "PAUSE", "REFUSED", "SET_PACE", "LOOK"):
        script = getattr(scripts, name)
        assert scripts.CLOCK in script
        monkeypatch.setattr(scripts, name, script.replace(scripts.CLOCK, SIMULATED_CLOCK))
    time = SimulatedTime(redis_url)
    try:
        yield time
    finally:
        time.close()


@dataclass
class Limited:
    """A limiter with these rules for the only provider there is."""

    redis_url: str
    time: SimulatedTime
    rules: Rules

    def __post_init__(self) -> None:
        accounts = {PROVIDER: Account(PROVIDER, "", self.rules)}
        self.limiter = RedisRateLimiter(self.redis_url, accounts, clock=self.time)

    def ticket(
        self, flow: UUID | None = None, tokens: int = 1, purpose: Purpose = "migration"
    ) -> Ticket:
        return self.limiter.ticket(PROVIDER, tokens, migration_id=flow, purpose=purpose)

    def ask(self, ticket: Ticket | None = None) -> float:
        """Seconds to wait; without a ticket for a call of one token."""
        return self.limiter.acquire(ticket or self.ticket())

    def drained(self) -> Limited:
        """With nothing left in its buckets."""
        while self.ask(self.ticket(tokens=100)) == 0:
            pass
        return self

    def pace(self, seconds: float, tokens: int = 1) -> float:
        """Calls a second that one caller may make, once the burst is over."""
        begin, granted = self.time.monotonic() + 1.0, 0
        ticket = self.ticket(tokens=tokens)
        while (now := self.time.monotonic()) < begin + seconds:
            if wait := self.ask(ticket):
                self.time.sleep(wait)
            else:
                granted, ticket = granted + (now >= begin), self.ticket(tokens=tokens)
        return granted / seconds


@dataclass
class Crowd:
    """``threads`` threads of one migration, each calling again as soon as it is answered."""

    flow: str
    threads: int = 8
    tokens: Callable[[], int] = lambda: 1000
    #: What a call comes to, as a multiple of what was estimated.
    real: float = 1.0
    purpose: Purpose = "migration"
    begins: float = 0.0
    ends: float = float("inf")
    id: UUID = field(default_factory=uuid4)


@dataclass
class Outcome:
    """``sent`` are (time, flow, real tokens) of every call in order."""

    sent: list[tuple[float, str, int]] = field(default_factory=list)
    refused: int = 0

    def between(self, begin: float, end: float) -> list[tuple[float, str, int]]:
        return [call for call in self.sent if begin <= call[0] < end]

    def tokens(self, begin: float, end: float) -> int:
        return sum(tokens for _, _, tokens in self.between(begin, end))

    def calls_by_flow(self, begin: float, end: float) -> Counter[str]:
        return Counter(flow for _, flow, _ in self.between(begin, end))

    def most_over(self, rate: float, *, tokens: bool = False) -> float:
        """By how much some window held more than ``rate`` allows, in calls or tokens."""
        lowest, total, worst = float("inf"), 0.0, 0.0
        for at, _, amount in self.sent:
            lowest = min(lowest, total - rate * at)
            total += amount if tokens else 1
            worst = max(worst, total - rate * at - lowest)
        return worst


def simulate(
    limited: Limited,
    crowds: Sequence[Crowd],
    seconds: float,
    *,
    latency: float = 0.4,
    lateness: float = 0.002,
    provider: Limits | None = None,
    heeds: bool = False,
    seed: int = 1,
) -> Outcome:
    """Run it; every thread wakes up to ``lateness`` late, answers take ``latency`` +- 10 %.

    ``provider`` enforces, on the same time; with ``heeds`` its headers are learned from.
    """
    chance, order, outcome = random.Random(seed), itertools.count(), Outcome()
    limiter, begun = limited.limiter, limited.time.monotonic()
    events: list[tuple[float, int, Callable[[float], None]]] = []

    def at(when: float, action: Callable[[float], None]) -> None:
        heapq.heappush(events, (when, next(order), action))

    def begin(crowd: Crowd) -> Callable[[float], None]:
        def act(now: float) -> None:
            if now < crowd.ends:
                look(crowd, limited.ticket(crowd.id, crowd.tokens(), crowd.purpose))(now)

        return act

    def look(crowd: Crowd, ticket: Ticket) -> Callable[[float], None]:
        def act(now: float) -> None:
            wait = limiter.acquire(ticket)
            if wait > 0:
                at(now + wait + chance.uniform(0, lateness), look(crowd, ticket))
            else:
                send(crowd, ticket, now)

        return act

    def send(crowd: Crowd, ticket: Ticket, now: float) -> None:
        arrives = now + latency * chance.uniform(0.05, 0.15)
        answers = now + latency * chance.uniform(0.9, 1.1)
        at(arrives, lambda then: arrive(crowd, ticket, then, answers))

    def arrive(crowd: Crowd, ticket: Ticket, now: float, answers: float) -> None:
        real = round(ticket.estimated * crowd.real)
        refusal, headers = provider.take(real) if provider else (0.0, {})
        if refusal:
            outcome.refused += 1
            limiter.refused(PROVIDER)
            limiter.pause(PROVIDER, refusal)
            at(now + refusal, begin(crowd))
            return
        outcome.sent.append((now, crowd.flow, real))

        def answered(then: float) -> None:
            if heeds:
                limiter.learn(PROVIDER, headers)
            limiter.settle(ticket, real)
            begin(crowd)(then)

        at(answers, answered)

    for crowd in crowds:
        for _ in range(crowd.threads):
            at(crowd.begins, begin(crowd))
    while events and events[0][0] < seconds:
        when, _, action = heapq.heappop(events)
        limited.time.move_to(begun + when)
        action(when)
    return outcome


#: Makes a limiter with these rules, as the fixture ``limited`` does.
Limiting = Callable[[Rules], Limited]
