"""A limit as one process keeps it alone: plain token buckets, whoever comes first is served.

For a process that Redis has left alone; the rules all workers share are in
:mod:`migrations.adapters.limiter.scripts`.
"""

from __future__ import annotations

from migrations.ports.limiter import KINDS, Kind, Rules, Ticket

SHORTEST_WAIT_SECONDS = 0.002
#: Each refusal slows by so much, down to the slowest; Redis, when it is back, knows better.
SLOWED_BY, SLOWEST = 0.8, 0.1


class PlainBuckets:
    """``now`` is in seconds, of any clock that goes forward. Not safe for threads by itself."""

    def __init__(self, rules: Rules, now: float) -> None:
        limits = dict(zip(KINDS, (rules.requests, rules.tokens), strict=True))
        self._rates: dict[Kind, float] = {
            kind: limit / 60 for kind, limit in limits.items() if limit
        }
        self._burst_seconds, self._slow, self._at = rules.burst_seconds, 1.0, now
        self._levels = {kind: rate * self._burst_seconds for kind, rate in self._rates.items()}

    def acquire(self, ticket: Ticket, now: float) -> float:
        """Seconds until the ticket should be shown again; 0 means the call may be made.

        A call that needs more than half a bucket is let through at that, and leaves a debt.
        """
        wait = self.wait(ticket, now)
        if wait == 0:
            self.take(ticket)
        return wait

    def wait(self, ticket: Ticket, now: float) -> float:
        """As :meth:`acquire`, and nothing is taken."""
        self._refill(now)
        needs = _needs(ticket)
        wait = 0.0
        for kind, rate in self._rates.items():
            enough = min(needs[kind], rate * self._burst_seconds / 2)
            wait = max(wait, (enough - self._levels[kind]) / (rate * self._slow))
        return max(wait, SHORTEST_WAIT_SECONDS) if wait > 0 else 0.0

    def take(self, ticket: Ticket) -> None:
        needs = _needs(ticket)
        for kind in self._levels:
            self._levels[kind] -= needs[kind]

    def settle(self, ticket: Ticket, tokens: int) -> None:
        """The call took ``tokens``: give back what was reserved above it, or take the rest."""
        if "tokens" in self._levels:
            self._levels["tokens"] += ticket.tokens - tokens

    def refused(self, now: float) -> None:
        """What the provider holds is empty, whatever we thought."""
        self._refill(now)
        self._slow = max(SLOWEST, self._slow * SLOWED_BY)
        self._levels = {kind: min(0.0, level) for kind, level in self._levels.items()}

    def _refill(self, now: float) -> None:
        seconds, self._at = max(0.0, now - self._at) * self._slow, now
        for kind, rate in self._rates.items():
            full = rate * self._burst_seconds
            self._levels[kind] = min(full, self._levels[kind] + seconds * rate)


def _needs(ticket: Ticket) -> dict[Kind, float]:
    return {"requests": 1.0, "tokens": float(ticket.tokens)}
