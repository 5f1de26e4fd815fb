"""The rate limiter all workers share, in Redis.

The rules are the scripts of :mod:`migrations.adapters.limiter.scripts`; they run inside
Redis and on its clock, so hosts need not agree on the time. What one process is told,
by headers or by ``Retry-After``, holds all.

It never raises for a Redis that is away: a limiter must never stop work. A
process that is alone keeps the pauses it knows and takes of the limit the part
that was its own when Redis last answered (one of as many as there were
processes), or one of :data:`ASSUMED_PROCESSES` when it never did. It then serves
whoever comes first, and learns nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import RedisError
from redis.retry import Retry

from migrations.adapters.clock import SystemClock
from migrations.adapters.limiter import scripts
from migrations.adapters.limiter.accounts import Account
from migrations.adapters.limiter.alone import PlainBuckets
from migrations.adapters.limiter.headers import announced
from migrations.adapters.providers.catalogue import LOCAL_PROVIDER
from migrations.model.pace import Pace
from migrations.ports.clock import Clock
from migrations.ports.limiter import (
    KINDS,
    PACE_HOLDS_SECONDS,
    Counts,
    Kind,
    Learned,
    Purpose,
    Rules,
    Ticket,
)

log = structlog.get_logger(__name__)

#: How long a call may be held up by a Redis that does not answer.
TIMEOUT_SECONDS = 1.0

#: How long Redis is left alone after it did not answer, so that not every batch waits for it.
LEAVE_ALONE_SECONDS = 5.0

#: Processes that are taken to share a limit when nobody has said how many do.
ASSUMED_PROCESSES = 16

#: Requests a minute of all processes together where no limit is known and Redis is away.
UNKNOWN_REQUESTS_PER_MINUTE = 6000.0

#: How long counts are kept after the last of them.
COUNTS_KEPT_SECONDS = 30 * 86_400

#: Usage of the latest call counts for so much in the ratio of real to estimated tokens.
CALIBRATION_WEIGHT = 0.1
CALIBRATION_BOUNDS = (0.25, 4.0)


@dataclass
class _Paced:
    limits: Mapping[Kind, float]
    alone: PlainBuckets | None = None


@dataclass
class _Known:
    """What this process knows of one account, for when Redis does not answer."""

    rules: Rules
    processes: int = ASSUMED_PROCESSES
    learned: dict[Kind, float] = field(default_factory=dict)
    tokens_per_estimated: float = 1.0
    paused_until: float = float("-inf")
    alone: PlainBuckets | None = None
    #: Runs that have a pace of their own, as it was last told.
    paced: dict[str, _Paced] = field(default_factory=dict)


class RedisRateLimiter:
    """See :class:`migrations.ports.limiter.RateLimiter`.

    Safe to share among threads and over a fork.

    Args:
        redis_url: Where the workers meet.
        accounts: Keys and limits by provider; one that is not there is unlimited until it
            refuses or announces.
    """

    def __init__(
        self,
        redis_url: str,
        accounts: Mapping[str, Account] | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._redis: Redis = Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=30,
        )
        self._acquire = self._redis.register_script(scripts.ACQUIRE)
        self._settle = self._redis.register_script(scripts.SETTLE)
        self._learn = self._redis.register_script(scripts.LEARN)
        self._pause = self._redis.register_script(scripts.PAUSE)
        self._refused = self._redis.register_script(scripts.REFUSED)
        self._look = self._redis.register_script(scripts.LOOK)
        self._forget = self._redis.register_script(scripts.FORGET)
        self._set_pace = self._redis.register_script(scripts.SET_PACE)
        self._accounts = dict(accounts or {})
        self._clock = clock or SystemClock()
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._id = uuid4().hex[:12]
        self._ask_again_at = float("-inf")

    # --- one call --------------------------------------------------------

    def ticket(
        self,
        provider: str,
        estimated_tokens: int,
        *,
        migration_id: UUID | None = None,
        purpose: Purpose = "migration",
    ) -> Ticket:
        ratio = self._of(provider).tokens_per_estimated
        tokens = max(1, round(estimated_tokens * ratio))
        return Ticket(provider, str(migration_id or ""), tokens, estimated_tokens, purpose)

    def waited(self, provider: str, seconds: float) -> None:
        self._count(provider, "waited", seconds)

    def counts(self) -> Mapping[str, Counts]:
        if self._clock.monotonic() < self._ask_again_at:
            return {}
        asked = self._redis.pipeline(transaction=False)
        for account in self._accounts.values():
            asked.hmget(_counts_of(account), "refusals", "waited")
            asked.zcard(_keys(account.name())[1])
        try:
            found = asked.execute()
        except RedisError as error:
            self._leave_alone(error)
            return {}
        told = zip(self._accounts, found[::2], found[1::2], strict=True)
        return {
            provider: Counts(int(float(refusals or 0)), float(waited or 0), waiting)
            for provider, (refusals, waited), waiting in told
        }

    def _count(self, provider: str, what: str, amount: float) -> None:
        """Of no use but to those who watch: a Redis that is away is left alone."""
        if self._clock.monotonic() < self._ask_again_at:
            return
        name = _counts_of(self._account(provider))
        asked = self._redis.pipeline(transaction=False)
        asked.hincrbyfloat(name, what, amount)
        asked.expire(name, COUNTS_KEPT_SECONDS)
        try:
            asked.execute()
        except RedisError as error:
            self._leave_alone(error)

    def _leave_alone(self, error: RedisError) -> None:
        self._ask_again_at = self._clock.monotonic() + LEAVE_ALONE_SECONDS
        log.warning("limiter_works_alone", error=str(error))

    def acquire(self, ticket: Ticket) -> float:
        if ticket.provider == LOCAL_PROVIDER:
            return 0.0
        known = self._of(ticket.provider)
        here = known.paused_until - self._clock.monotonic()
        if here > 0:
            return here
        # A fork must not be counted as its parent.
        process = f"{self._id}:{os.getpid()}"
        args = (ticket.id, ticket.flow, ticket.tokens, ticket.purpose, process)
        answer = self._run(self._acquire, ticket.provider, *args)
        if answer is None:
            return self._acquire_alone(known, ticket)
        wait, processes, *limits = map(int, answer)
        known.alone, known.processes = None, max(1, processes)
        known.learned, own = _limits(limits[:2]), _limits(limits[2:])
        if own:
            known.paced[ticket.flow] = _Paced(own)
        else:
            known.paced.pop(ticket.flow, None)
        return wait / 1e6

    def settle(self, ticket: Ticket, tokens: int) -> None:
        if ticket.provider == LOCAL_PROVIDER:
            return
        known = self._of(ticket.provider)
        if ticket.estimated > 0 and tokens > 0:
            lowest, highest = CALIBRATION_BOUNDS
            seen = min(highest, max(lowest, tokens / ticket.estimated))
            known.tokens_per_estimated += CALIBRATION_WEIGHT * (seen - known.tokens_per_estimated)
        if (alone := known.alone) is not None:  # another thread may find Redis again meanwhile
            with self._lock:
                alone.settle(ticket, tokens)
                if (paced := known.paced.get(ticket.flow)) and paced.alone:
                    paced.alone.settle(ticket, tokens)
        elif tokens != ticket.tokens:
            unused = ticket.tokens - tokens
            self._run(self._settle, ticket.provider, unused, ticket.purpose, ticket.flow)

    def limits(self, provider: str) -> Mapping[Kind, float]:
        known = self._of(provider)
        by_hand = {"requests": known.rules.requests, "tokens": known.rules.tokens}
        found = {kind: by_hand[kind] or known.learned.get(kind) for kind in KINDS}
        return {kind: limit for kind, limit in found.items() if limit}

    def learned(self, provider: str) -> Learned | None:
        if provider == LOCAL_PROVIDER:
            return Learned(provider, {}, can_be_paced=False)
        answer = self._run(self._look, provider)
        if answer is None:
            return None
        *limits, share, pace, paused, refused = map(float, answer)
        return Learned(
            provider,
            {kind: limit for kind, limit in zip(KINDS, limits, strict=True) if limit},
            share=share,
            requests_per_minute=None if any(limits) or not pace else pace * 60,
            paused_seconds=paused,
            refused_seconds_ago=None if refused < 0 else refused,
        )

    def all_learned(self) -> list[Learned] | None:
        accounts = self._accounts_in_use()
        if accounts is None:
            return None
        providers = sorted({_provider_of(account) for account in accounts})
        found = [self.learned(provider) for provider in providers]
        return [one for one in found if one is not None]

    def forget(self, provider: str) -> bool:
        accounts = self._accounts_in_use()
        if accounts is None:
            return False
        mine = [account for account in accounts if _provider_of(account) == provider]
        return all(self._ask(self._forget, account) is not None for account in mine)

    def _accounts_in_use(self) -> list[str] | None:
        """All that were asked for in the last day, also with keys that are not this process'."""
        (state, *_) = _keys("*")
        before, _, after = state.partition("*")
        try:
            names = list(self._redis.scan_iter(state, count=1000))
        except RedisError as error:
            log.warning("limiter_works_alone", error=str(error))
            return None
        return [name.decode()[len(before) : len(name) - len(after)] for name in names]

    def set_pace(self, provider: str, migration_id: UUID, pace: Pace | None) -> None:
        account = self._account(provider).name()
        told = (
            (0, 0, 0)
            if pace is None
            else (pace.share or 1, pace.requests_per_minute or 0, pace.tokens_per_minute or 0)
        )
        self._ask(self._set_pace, account, str(migration_id), *told, PACE_HOLDS_SECONDS)

    # --- what the provider says ------------------------------------------

    def learn(self, provider: str, headers: Mapping[str, str]) -> None:
        told = announced(headers)
        known = self._of(provider)
        limits = [told[kind].per_minute if kind in told else None for kind in KINDS]
        left = [self._worth_telling(known, kind, told) for kind in KINDS]
        is_news = any(
            limit is not None and limit != known.learned.get(kind, 0.0)
            for kind, limit in zip(KINDS, limits, strict=True)
        )
        if not is_news and left == [None, None]:
            return
        for kind, limit in zip(KINDS, limits, strict=True):
            if limit is not None:
                known.learned[kind] = limit
        self._run(self._learn, provider, *(-1 if n is None else n for n in (*limits, *left)))

    def _worth_telling(self, known: _Known, kind: Kind, told: Mapping[Kind, Any]) -> float | None:
        """What is left, when it is little: a nearly full limit holds nobody up."""
        remaining: float | None = told[kind].remaining if kind in told else None
        by_hand = known.rules.requests if kind == "requests" else known.rules.tokens
        limit = by_hand or known.learned.get(kind)
        if remaining is None or not limit:
            return None
        return remaining if remaining < 2 * limit / 60 * known.rules.burst_seconds else None

    def pause(self, provider: str, seconds: float) -> None:
        if seconds <= 0:
            return
        known = self._of(provider)
        known.paused_until = max(known.paused_until, self._clock.monotonic() + seconds)
        self._run(self._pause, provider, f"{seconds:.6f}")

    def refused(self, provider: str) -> None:
        self._count(provider, "refusals", 1)
        known = self._of(provider)
        if (alone := known.alone) is not None:
            with self._lock:
                alone.refused(self._clock.monotonic())
        else:
            self._run(self._refused, provider)

    # --- alone -----------------------------------------------------------

    def _acquire_alone(self, known: _Known, ticket: Ticket) -> float:
        now = self._clock.monotonic()
        with self._lock:
            if known.alone is None:
                known.alone = PlainBuckets(_rules_alone(known), now)
            buckets = [known.alone]
            if paced := known.paced.get(ticket.flow):
                paced.alone = paced.alone or PlainBuckets(_paced_alone(known, paced.limits), now)
                buckets.append(paced.alone)
            wait = max(one.wait(ticket, now) for one in buckets)
            if wait == 0:
                for one in buckets:
                    one.take(ticket)
            return wait

    def _of(self, provider: str) -> _Known:
        known = self._known.get(provider)
        if known is None:
            rules = self._account(provider).rules
            known = self._known.setdefault(provider, _Known(rules))
        return known

    def _account(self, provider: str) -> Account:
        return self._accounts.get(provider) or Account(provider)

    def _run(self, script: Script, provider: str, *args: Any) -> Any:
        """The script's answer, or None while Redis does not answer."""
        account, known = self._account(provider), self._of(provider)
        rules = account.rules
        common = (
            rules.requests or 0,
            rules.tokens or 0,
            rules.burst_seconds,
            rules.query_share,
            *(known.learned.get(kind, 0) for kind in KINDS),
        )
        return self._ask(script, account.name(), *common, *args)

    def _ask(self, script: Script, account: str, *args: Any) -> Any:
        if self._clock.monotonic() < self._ask_again_at:
            return None
        try:
            answer = script(keys=_keys(account), args=args)
        except RedisError as error:
            self._leave_alone(error)
            return None
        return [] if answer is None else answer


def _provider_of(account: str) -> str:
    return account.rpartition(":")[0]


def _limits(told: Sequence[int]) -> dict[Kind, float]:
    return {kind: limit / 1000 for kind, limit in zip(KINDS, told, strict=True) if limit}


def _paced_alone(known: _Known, limits: Mapping[Kind, float]) -> Rules:
    """This process's part of a run's own pace."""
    parts = {kind: limit / known.processes for kind, limit in limits.items()}
    return replace(known.rules, requests=parts.get("requests"), tokens=parts.get("tokens"))


def _rules_alone(known: _Known) -> Rules:
    """This process's part of what is known, errs on the slow side where nothing is."""
    requests = known.rules.requests or known.learned.get("requests")
    tokens = known.rules.tokens or known.learned.get("tokens")
    if not requests and not tokens:
        requests = UNKNOWN_REQUESTS_PER_MINUTE
    return replace(
        known.rules,
        requests=requests and requests / known.processes,
        tokens=tokens and tokens / known.processes,
    )


def _counts_of(account: Account) -> str:
    return f"reembed:{{limiter:{account.name()}}}:counts"


def _keys(account: str) -> list[str]:
    return [
        f"reembed:{{limiter:{account}}}:{part}"
        for part in ("state", "queue", "expiries", "ends", "processes", "paces", "paced")
    ]
