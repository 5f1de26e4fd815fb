"""The rules of a provider's limit: how fast, whose turn, how much is kept for queries.

Plain arithmetic over a time that is handed in, in seconds. The limiter all
workers share runs the same rules inside Redis (``adapters/limiter_scripts.py``);
this one serves a process that Redis has left alone, and the tests.

Pace: one token bucket each for requests and tokens. A bucket holds
``burst_seconds`` of its rate. A call is let through when its amount is there,
or half a full bucket where it needs more, and may leave a debt; the other half
takes up the lateness of those who wait, so that nothing overflows. Over any
window of w seconds no more than ``rate x w + bucket + one call`` passes.

Turn: start-time fair queueing (Goyal, Vin, Cheng 1996). Each call that waits
has a tag, the later of the queue's time and the end of its migration's last
call, in seconds of the whole limit; the smallest tag is next. A migration
with more threads has more calls waiting but no larger share, and one that
stopped asking has nothing waiting and takes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

Purpose = Literal["migration", "query"]
Kind = Literal["requests", "tokens"]
KINDS: tuple[Kind, Kind] = ("requests", "tokens")

#: Sleepers look again at least when so much, or half of what is left, has passed.
LOOK_AGAIN_SECONDS = 0.25
SHORTEST_WAIT_SECONDS = 0.002
#: A waiting call that does not come back this long after its time has been given up.
GRACE_SECONDS = 1.0
#: The share for queries is kept free for this long after the last of them.
QUERIES_REMEMBERED_SECONDS = 60.0
#: What was in flight is refused as well: it is slowed down at most once in this time.
SLOWED_ONCE_SECONDS = 1.0
#: One refusal alone is answered by the pause it asks for; a second one within this
#: time shows that the pace is wrong.
REFUSALS_REMEMBERED_SECONDS = 300.0
#: A limit that is known and still refuses is used more slowly, and by so much more each second.
SLOWED_BY, RECOVERED_EACH_SECOND, SLOWEST = 0.95, 0.002, 0.1
#: The same where no limit is known: multiplicative decrease, and an increase that is
#: additive at first and gathers speed while nobody refuses.
BACKED_OFF_BY, ADDED_EACH_SECOND, GATHERED_EACH_SECOND = 0.8, 0.01, 0.0001
SLOWEST_PER_SECOND = 1 / 60
#: Models of one account may announce different limits; the lower one counts for so long.
LOWER_COUNTS_SECONDS = 60.0
#: Calls are counted over windows of this length to know how many were let in.
WINDOW_SECONDS = 5.0


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

    def divided(self, among: int) -> Rules:
        """Each one's part when nobody can see what the others do."""
        return Rules(
            self.requests and self.requests / among,
            self.tokens and self.tokens / among,
            self.burst_seconds,
            self.query_share,
        )


@dataclass
class _Waiting:
    ticket: Ticket
    tag: float
    number: int
    expires: float

    @property
    def order(self) -> tuple[bool, float, int]:
        return self.ticket.purpose != "query", self.tag, self.number

    @property
    def needs(self) -> dict[Kind, float]:
        return {"requests": 1.0, "tokens": float(self.ticket.tokens)}


class Throttle:
    """One provider's limit under one key. Not safe for threads by itself."""

    def __init__(self, rules: Rules, now: float) -> None:
        self.rules = rules
        self._learned: dict[Kind, float] = {}
        self._heard_at: dict[Kind, float] = {}
        self._at = now
        #: What is left for all, and for migrations; absent means full.
        self._levels: dict[tuple[Kind, Purpose], float] = {}
        self._paused_until = now
        self._query_at = float("-inf")
        self._queue: dict[str, _Waiting] = {}
        self._ends: dict[str, float] = {}
        self._tag = 0.0
        self._number = 0
        self._slow = 1.0
        self._pace: float | None = None
        self._refused_at = self._slowed_at = float("-inf")
        self._window_at, self._count, self._last_count = now, 0, 0

    def acquire(self, ticket: Ticket, now: float) -> float:
        """Seconds until the ticket should be shown again; 0 means the call may be made."""
        if ticket.purpose == "query":
            self._query_at = now
        self._refill(now)
        self._give_up_on_the_lost(now)
        mine = self._queue.get(ticket.id) or self._joined(ticket)
        wait = max(self._paused_until - now, self._wait(mine, now))
        if wait <= 0:
            self._take(mine, now)
            return 0.0
        if wait > LOOK_AGAIN_SECONDS and self._paused_until <= now:
            wait = max(LOOK_AGAIN_SECONDS, wait / 2)
        wait = max(SHORTEST_WAIT_SECONDS, wait)
        mine.expires = now + wait + GRACE_SECONDS
        self._queue[ticket.id] = mine
        return wait

    def settle(self, ticket: Ticket, tokens: int, now: float) -> None:
        """The call took ``tokens``: give back what was reserved above it, or take the rest."""
        self._refill(now)
        more = ticket.tokens - tokens
        for purpose in _buckets_of(ticket.purpose):
            if ("tokens", purpose) in self._levels:
                self._levels["tokens", purpose] += more  # above a full bucket it is cut off later

    def learn(
        self, kind: Kind, per_minute: float | None, remaining: float | None, now: float
    ) -> None:
        """The provider announced a limit (0: forget it), or how much of it is left."""
        if per_minute == 0:
            self._learned.pop(kind, None)
        elif per_minute is not None:
            known, at = self._learned.get(kind, per_minute), self._heard_at.get(kind, now)
            if per_minute <= known or now - at >= LOWER_COUNTS_SECONDS:
                self._learned[kind], self._heard_at[kind] = per_minute, now
        level = self._levels.get((kind, "query"))
        if remaining is not None and level is not None:
            self._levels[kind, "query"] = min(level, remaining)

    def pause(self, seconds: float, now: float) -> None:
        self._paused_until = max(self._paused_until, now + seconds)

    def paused_seconds(self, now: float) -> float:
        return max(0.0, self._paused_until - now)

    def refused(self, now: float) -> None:
        """The provider answered 429: what it holds is empty, whatever we thought."""
        self._refill(now)
        self._count = max(0, self._count - 1)  # only what was let in shows the pace
        remembered = now - self._refused_at < REFUSALS_REMEMBERED_SECONDS
        if remembered and now - self._slowed_at >= SLOWED_ONCE_SECONDS:
            self._slow_down(now)
        self._refused_at = now
        self._levels = {
            (kind, purpose): min(0.0, self._levels.get((kind, purpose), 0.0))
            for kind in self.rates(now)
            for purpose in _buckets_of("migration")
        }

    def _slow_down(self, now: float) -> None:
        if any(self._limit(kind) for kind in KINDS):
            self._slow = max(SLOWEST, self._slowness(now) * SLOWED_BY)
        else:
            pace = min(self._counted_pace(now), self._adapted(now) or float("inf"))
            self._pace = max(SLOWEST_PER_SECOND, pace * BACKED_OFF_BY)
        self._slowed_at = now

    # --- pace ------------------------------------------------------------

    def rates(self, now: float) -> dict[Kind, float]:
        """Per second, where there is one."""
        known = {
            kind: limit / 60 * self._slowness(now) for kind in KINDS if (limit := self._limit(kind))
        }
        adapted = self._adapted(now)
        return known or ({"requests": adapted} if adapted else {})

    def _limit(self, kind: Kind) -> float | None:
        by_hand = self.rules.requests if kind == "requests" else self.rules.tokens
        return by_hand or self._learned.get(kind)

    def _slowness(self, now: float) -> float:
        return min(1.0, self._slow + RECOVERED_EACH_SECOND * (now - self._slowed_at))

    def _adapted(self, now: float) -> float | None:
        if self._pace is None:
            return None
        quiet = now - self._slowed_at
        return self._pace * (1 + quiet * (ADDED_EACH_SECOND + quiet * GATHERED_EACH_SECOND))

    def _counted_pace(self, now: float) -> float:
        return max(self._count / max(now - self._window_at, 0.5), self._last_count / WINDOW_SECONDS)

    def _migrations_part(self, now: float) -> float:
        asked = now - self._query_at < QUERIES_REMEMBERED_SECONDS
        return 1 - self.rules.query_share if asked else 1.0

    def _refill(self, now: float) -> None:
        seconds = max(0.0, now - self._at)
        self._at = now
        part: dict[Purpose, float] = {"query": 1.0, "migration": self._migrations_part(now)}
        rates = self.rates(now)
        self._levels = {
            (kind, purpose): min(
                full := rate * part[purpose] * self.rules.burst_seconds,
                self._levels.get((kind, purpose), full) + seconds * rate * part[purpose],
            )
            for kind, rate in rates.items()
            for purpose in part
        }

    def _take(self, mine: _Waiting, now: float) -> None:
        for purpose in _buckets_of(mine.ticket.purpose):
            for kind, amount in mine.needs.items():
                if (kind, purpose) in self._levels:
                    self._levels[kind, purpose] -= amount
        self._queue.pop(mine.ticket.id, None)
        if mine.ticket.purpose == "migration":
            self._tag = max(self._tag, mine.tag)
            self._ends = {flow: end for flow, end in self._ends.items() if end > self._tag}
        if now - self._window_at >= WINDOW_SECONDS:
            self._window_at, self._last_count, self._count = now, self._count, 0
        self._count += 1

    # --- turn ------------------------------------------------------------

    def _joined(self, ticket: Ticket) -> _Waiting:
        self._number += 1
        mine = _Waiting(ticket, self._tag, self._number, 0.0)
        if ticket.purpose == "migration":
            mine.tag = max(self._tag, self._ends.get(ticket.flow, 0.0))
            rates = self.rates(self._at)
            cost = max((mine.needs[kind] / rate for kind, rate in rates.items()), default=0.0)
            self._ends[ticket.flow] = mine.tag + cost
        return mine

    def _give_up_on_the_lost(self, now: float) -> None:
        self._queue = {key: one for key, one in self._queue.items() if one.expires > now}

    def _wait(self, mine: _Waiting, now: float) -> float:
        ahead = [one for one in self._queue.values() if one.order < mine.order]
        part = self._migrations_part(now)
        waits = [0.0]
        for kind, rate in self.rates(now).items():
            for purpose in _buckets_of(mine.ticket.purpose):
                speed = rate * (part if purpose == "migration" else 1.0)
                enough = min(mine.needs[kind], speed * self.rules.burst_seconds / 2)
                before = sum(
                    one.needs[kind] for one in ahead if purpose in _buckets_of(one.ticket.purpose)
                )
                waits.append((before + enough - self._levels[kind, purpose]) / speed)
        return max(waits)


def _buckets_of(purpose: Purpose) -> tuple[Purpose, ...]:
    """A migration's call takes from what all may use and from what migrations may."""
    return ("query",) if purpose == "query" else ("query", "migration")
