"""What every rate limiter promises, and what the real one does when Redis fails it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from migrations.adapters.limiter import LEAVE_ALONE_SECONDS, RedisRateLimiter
from migrations.ports import RateLimiter
from tests.contract.volatile_redis import VolatileRedis, volatile_redis
from tests.fakes.clock import FakeClock
from tests.fakes.limiter import FakeRateLimiter


@dataclass
class World:
    limiter: RateLimiter
    #: The same limiter as another worker sees it.
    elsewhere: RateLimiter
    pass_time: Callable[[float], None]
    provider: str


@pytest.fixture(params=["fake", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    provider = f"provider-{uuid4()}"
    if request.param == "fake":
        clock = FakeClock()
        limiter = FakeRateLimiter(clock)
        return World(limiter, limiter, clock.sleep, provider)
    url = request.getfixturevalue("redis_server").url
    return World(RedisRateLimiter(url), RedisRateLimiter(url), time.sleep, provider)


@pytest.fixture
def volatile(tmp_path: Path) -> Iterator[VolatileRedis]:
    with volatile_redis(tmp_path) as server:
        yield server


def test_nobody_waits_before_a_pause(world: World) -> None:
    assert 0 == world.limiter.wait_seconds(world.provider)


def test_a_pause_holds_every_worker_until_it_ends(world: World) -> None:
    world.limiter.pause(world.provider, 0.4)

    waits = [each.wait_seconds(world.provider) for each in (world.limiter, world.elsewhere)]
    world.pass_time(0.45)

    assert all(0.2 < wait <= 0.4 for wait in waits)
    assert 0 == world.limiter.wait_seconds(world.provider)
    assert 0 == world.elsewhere.wait_seconds(world.provider)


def test_a_pause_of_one_provider_holds_no_other(world: World) -> None:
    world.limiter.pause(world.provider, 60)

    assert 0 == world.elsewhere.wait_seconds(f"{world.provider}-2")


def test_of_several_pauses_the_one_that_ends_last_counts(world: World) -> None:
    world.limiter.pause(world.provider, 60)
    world.elsewhere.pause(world.provider, 90)
    world.limiter.pause(world.provider, 30)

    for each in (world.limiter, world.elsewhere):
        assert 80 < each.wait_seconds(world.provider) <= 90


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_pause_of_no_length_is_none(world: World, seconds: float) -> None:
    world.limiter.pause(world.provider, seconds)

    assert 0 == world.limiter.wait_seconds(world.provider)


def test_a_pause_shorter_than_a_millisecond_does_not_break_the_shared_one(world: World) -> None:
    world.limiter.pause(world.provider, 0.0001)
    world.limiter.pause(world.provider, 60)

    assert 50 < world.elsewhere.wait_seconds(world.provider) <= 60


def test_a_pause_outlives_the_redis_that_held_it(volatile: VolatileRedis) -> None:
    limiter = RedisRateLimiter(volatile.url)
    limiter.pause("openai", 60)

    with Redis.from_url(volatile.url) as client:
        client.flushall()

    assert 50 < limiter.wait_seconds("openai") <= 60


def test_a_redis_that_is_back_is_asked_again_after_a_while(volatile: VolatileRedis) -> None:
    clock = FakeClock()
    limiter = RedisRateLimiter(volatile.url, clock=clock)
    volatile.stop()
    limiter.wait_seconds("openai")

    volatile.start()
    RedisRateLimiter(volatile.url).pause("openai", 60)
    at_once = limiter.wait_seconds("openai")
    clock.sleep(LEAVE_ALONE_SECONDS)

    assert 0 == at_once
    assert 50 < limiter.wait_seconds("openai") <= 60


def test_a_restarted_redis_shares_pauses_at_once(volatile: VolatileRedis) -> None:
    limiter, elsewhere = RedisRateLimiter(volatile.url), RedisRateLimiter(volatile.url)
    limiter.pause("anthropic", 1)

    volatile.stop()
    volatile.start()
    limiter.pause("openai", 60)

    assert 50 < elsewhere.wait_seconds("openai") <= 60
