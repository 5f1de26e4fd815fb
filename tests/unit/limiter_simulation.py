"""Threads that call a provider through a limiter, on a time that is simulated."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from devstack.provider.limits import Limits
from migrations.limits import Throttle, Ticket


@dataclass
class Crowd:
    """``threads`` threads of one migration, each calling again as soon as it is answered."""

    flow: str
    threads: int = 8
    tokens: Callable[[], int] = lambda: 1000
    #: What a call comes to, as a multiple of what was estimated.
    real: float = 1.0
    purpose: str = "migration"
    begins: float = 0.0
    ends: float = float("inf")


@dataclass
class Outcome:
    """``sent`` are (time, flow, real tokens) of every call in order."""

    sent: list[tuple[float, str, int]] = field(default_factory=list)
    refused: int = 0
    looks: int = 0

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
    throttle: Throttle,
    crowds: Sequence[Crowd],
    seconds: float,
    *,
    latency: float = 0.4,
    lateness: float = 0.002,
    provider: Limits | None = None,
    on_answer: Callable[[float, dict[str, str]], None] | None = None,
    provider_clock: Callable[[float], None] = lambda now: None,
    seed: int = 1,
) -> Outcome:
    """Run it; every thread wakes up to ``lateness`` late, answers take ``latency`` +- 10 %."""
    chance, order, outcome = random.Random(seed), itertools.count(), Outcome()
    events: list[tuple[float, int, Callable[[float], None]]] = []

    def at(when: float, action: Callable[[float], None]) -> None:
        heapq.heappush(events, (when, next(order), action))

    def begin(crowd: Crowd) -> Callable[[float], None]:
        def act(now: float) -> None:
            if now < crowd.ends:
                estimated = crowd.tokens()
                look(crowd, Ticket("p", crowd.flow, estimated, estimated, crowd.purpose))(now)

        return act

    def look(crowd: Crowd, ticket: Ticket) -> Callable[[float], None]:
        def act(now: float) -> None:
            outcome.looks += 1
            wait = throttle.acquire(ticket, now)
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
        real = round(ticket.tokens * crowd.real)
        provider_clock(now)
        refusal, headers = provider.take(real) if provider else (0.0, {})
        if refusal:
            outcome.refused += 1
            throttle.refused(now)
            throttle.pause(refusal, now)
            at(now + refusal, begin(crowd))
            return
        outcome.sent.append((now, crowd.flow, real))

        def answered(then: float) -> None:
            if on_answer:
                on_answer(then, headers)
            throttle.settle(ticket, real, then)
            begin(crowd)(then)

        at(answers, answered)

    for crowd in crowds:
        for _ in range(crowd.threads):
            at(crowd.begins, begin(crowd))
    while events and events[0][0] < seconds:
        when, _, action = heapq.heappop(events)
        action(when)
    return outcome
