"""The limiter of all workers on a real Redis: many at once, and without its Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis import Redis

from devstack.redis import RedisServer
from migrations.adapters.limiter.accounts import Account, accounts
from migrations.adapters.limiter.limiter import (
    ASSUMED_PROCESSES,
    LEAVE_ALONE_SECONDS,
    UNKNOWN_REQUESTS_PER_MINUTE,
    RedisRateLimiter,
)
from migrations.ports.limiter import Rules
from tests.contract.volatile_redis import VolatileRedis, volatile_redis
from tests.fakes.clock import FakeClock

PROVIDER = "mine"


def limiter_at(url: str, rules: Rules, **how: object) -> RedisRateLimiter:
    return RedisRateLimiter(url, {PROVIDER: Account(PROVIDER, "", rules)}, **how)  # type: ignore[arg-type]


@pytest.fixture
def volatile(tmp_path: Path) -> Iterator[VolatileRedis]:
    with volatile_redis(tmp_path) as server:
        yield server


def calls_of(
    limiters: list[RedisRateLimiter], threads: dict[UUID, int], seconds: float
) -> list[tuple[float, UUID]]:
    """When each call was granted to which migration; every thread calls without end."""
    granted: list[tuple[float, UUID]] = []
    end = time.monotonic() + seconds

    def call(limiter: RedisRateLimiter, migration: UUID) -> None:
        while time.monotonic() < end:
            ticket = limiter.ticket(PROVIDER, 100, migration_id=migration)
            while (wait := limiter.acquire(ticket)) > 0:
                time.sleep(wait)
            granted.append((time.monotonic(), migration))

    flows = [migration for migration, count in threads.items() for _ in range(count)]
    running = [
        threading.Thread(target=call, args=(limiters[i % len(limiters)], migration))
        for i, migration in enumerate(flows)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sorted(granted)


def most_in_any_window_above(rate: float, granted: list[tuple[float, UUID]]) -> float:
    lowest, worst = float("inf"), 0.0
    for count, (at, _) in enumerate(granted):
        lowest = min(lowest, count - rate * at)
        worst = max(worst, count + 1 - rate * at - lowest)
    return worst


def test_eight_threads_of_two_workers_keep_to_the_limit_and_use_it(redis_url: str) -> None:
    rate, burst = 100.0, 0.25
    rules = Rules(requests=rate * 60, burst_seconds=burst)
    granted = calls_of([limiter_at(redis_url, rules) for _ in range(2)], {uuid4(): 8}, 3.0)
    late_threads = 10  # woken late, calls lie closer together here than they did in Redis
    assert most_in_any_window_above(rate, granted) <= rate * burst + 1 + late_threads
    assert 0.9 * rate * 3 <= len(granted)


def test_two_keys_of_one_provider_have_limits_of_their_own(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules(requests=60)
    limiters = []
    for variable, key in (("ONE_KEY", "sk-one"), ("OTHER_KEY", "sk-other")):
        monkeypatch.setenv(variable, key)
        limiters.append(RedisRateLimiter(redis_url, {PROVIDER: Account(PROVIDER, variable, rules)}))
    assert [0.0, 0.0] == [each.acquire(each.ticket(PROVIDER, 1)) for each in limiters]
    with Redis.from_url(redis_url) as client:
        names = b" ".join(client.keys())
    assert b"sk-" not in names


def test_the_hosts_clock_is_of_no_consequence(redis_url: str) -> None:
    ahead = FakeClock()
    ahead.sleep(10_000_000)
    fast = limiter_at(redis_url, Rules(requests=60), clock=ahead)
    slow = limiter_at(redis_url, Rules(requests=60), clock=FakeClock())
    assert 0 == fast.acquire(fast.ticket(PROVIDER, 1))
    assert 0.1 < slow.acquire(slow.ticket(PROVIDER, 1)) <= 1


def test_a_limit_that_redis_lost_is_brought_back_by_whoever_learned_it(
    volatile: VolatileRedis,
) -> None:
    learned = limiter_at(volatile.url, Rules())
    learned.learn(PROVIDER, {"x-ratelimit-limit-requests": "60"})
    with Redis.from_url(volatile.url) as client:
        client.flushall()
    learned.acquire(learned.ticket(PROVIDER, 1))
    stranger = limiter_at(volatile.url, Rules())
    assert stranger.acquire(stranger.ticket(PROVIDER, 1)) > 0


# --- alone ----------------------------------------------------------------------


def granted_alone(limiter: RedisRateLimiter, clock: FakeClock, seconds: float) -> int:
    """Calls of one thread in this time, none of which takes any."""
    end, granted = clock.monotonic() + seconds, 0
    while clock.monotonic() < end:
        ticket = limiter.ticket(PROVIDER, 1)
        while (wait := limiter.acquire(ticket)) > 0:
            clock.sleep(wait)
        granted += 1
        clock.sleep(1e-6)
    return granted


def test_alone_a_process_takes_the_part_it_had_when_redis_last_answered(
    volatile: VolatileRedis,
) -> None:
    clock = FakeClock()
    workers = [limiter_at(volatile.url, Rules(requests=6000), clock=clock) for _ in range(4)]
    for _ in range(2):
        for worker in workers:
            worker.acquire(worker.ticket(PROVIDER, 1))
    volatile.stop()
    assert 250 == pytest.approx(granted_alone(workers[0], clock, 10.0), rel=0.15)


def test_alone_from_the_start_it_takes_many_others_to_be_there(tmp_path: Path) -> None:
    clock, nowhere = FakeClock(), f"unix://{tmp_path}/no-redis"
    limiter = limiter_at(nowhere, Rules(requests=6000), clock=clock)
    assert granted_alone(limiter, clock, 10.0) <= 1000 / ASSUMED_PROCESSES * 1.1


def test_alone_without_a_known_limit_it_still_goes_slowly(tmp_path: Path) -> None:
    clock, nowhere = FakeClock(), f"unix://{tmp_path}/no-redis"
    limiter = limiter_at(nowhere, Rules(), clock=clock)
    most = UNKNOWN_REQUESTS_PER_MINUTE / 60 * 10 / ASSUMED_PROCESSES
    assert 0 < granted_alone(limiter, clock, 10.0) <= most * 1.1


def test_alone_it_keeps_a_limit_it_learned(volatile: VolatileRedis) -> None:
    clock = FakeClock()
    limiter = limiter_at(volatile.url, Rules(), clock=clock)
    limiter.learn(PROVIDER, {"x-ratelimit-limit-requests": "600"})
    limiter.acquire(limiter.ticket(PROVIDER, 1))
    volatile.stop()
    assert 95 <= granted_alone(limiter, clock, 10.0) <= 110


def test_a_redis_that_is_lost_amid_work_stops_nobody_and_is_found_again(
    volatile: VolatileRedis,
) -> None:
    clock = FakeClock()
    limiter = limiter_at(volatile.url, Rules(requests=600), clock=clock)
    ticket = limiter.ticket(PROVIDER, 100)
    limiter.acquire(ticket)
    volatile.stop()
    steps: list[Callable[[], object]] = [
        lambda: limiter.settle(ticket, 120),
        lambda: limiter.learn(PROVIDER, {"x-ratelimit-limit-requests": "60"}),
        lambda: limiter.refused(PROVIDER),
        lambda: limiter.pause(PROVIDER, 0.01),
        lambda: limiter.acquire(limiter.ticket(PROVIDER, 1)),
    ]
    for step in steps:
        clock.sleep(LEAVE_ALONE_SECONDS)
        step()
    volatile.start()
    clock.sleep(LEAVE_ALONE_SECONDS)
    limiter.acquire(limiter.ticket(PROVIDER, 1))
    with Redis.from_url(volatile.url) as client:
        assert [] != client.keys("reembed:{limiter:mine:*}:state")


# --- whose limit ----------------------------------------------------------------


def test_the_local_model_has_no_limit_and_costs_no_question(tmp_path: Path) -> None:
    limiter = RedisRateLimiter(f"unix://{tmp_path}/no-redis", {}, clock=FakeClock())
    limiter.pause("local", 60)
    assert 0 == limiter.acquire(limiter.ticket("local", 1))


def test_settings_by_hand_reach_the_limiter(redis_server: RedisServer) -> None:
    from migrations.settings import ProviderSettings, Settings

    own = ProviderSettings(base_url="http://h/v1", api_key_env="K", tokens_per_minute=5.0)
    settings = Settings(
        _env_file=None,
        database_url="postgresql+psycopg2://u@h/d",
        redis_url=redis_server.url,
        milvus_uri="http://h",
        providers={"mine": own},
        openai_requests_per_minute=7,
        limit_burst_seconds=0.25,
        reserved_query_share=0.3,
    )
    found = accounts(settings)
    assert Rules(None, 5.0, 0.25, 0.3) == found["mine"].rules
    assert Rules(7.0, None, 0.25, 0.3) == found["openai"].rules
