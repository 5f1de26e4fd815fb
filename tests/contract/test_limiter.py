"""What every rate limiter promises, and what the real one does when Redis fails it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from migrations.adapters.limiter.accounts import Account
from migrations.adapters.limiter.limiter import LEAVE_ALONE_SECONDS, RedisRateLimiter
from migrations.ports.limiter import RateLimiter, Rules, Ticket
from tests.contract.limiter_simulation import PROVIDER, simulated_time
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


Limited = Callable[[Rules], World]


@pytest.fixture
def shared(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Limited]:
    """Makes a real world whose provider has these limits, set by hand, on a simulated time."""
    with simulated_time(redis_url, monkeypatch) as time:

        def make(rules: Rules) -> World:
            accounts = {PROVIDER: Account(PROVIDER, "", rules)}
            here, there = (RedisRateLimiter(redis_url, accounts, clock=time) for _ in range(2))
            return World(here, there, time.sleep, PROVIDER)

        yield make


@pytest.fixture(params=["fake", "redis"])
def limited(request: pytest.FixtureRequest) -> Limited:
    """The same, with the fake too."""
    if request.param == "redis":
        made: Limited = request.getfixturevalue("shared")
        return made

    def make(rules: Rules) -> World:
        clock = FakeClock()
        limiter = FakeRateLimiter(clock)
        limiter.limit(PROVIDER, rules)
        return World(limiter, limiter, clock.sleep, PROVIDER)

    return make


@pytest.fixture
def world(limited: Limited) -> World:
    """Of a provider of which nothing is known."""
    return limited(Rules())


@pytest.fixture
def volatile(tmp_path: Path) -> Iterator[VolatileRedis]:
    with volatile_redis(tmp_path) as server:
        yield server


def asked(limiter: RateLimiter, provider: str) -> float:
    """Seconds that a call has to wait."""
    return limiter.acquire(limiter.ticket(provider, 1))


def test_nobody_waits_before_a_pause(world: World) -> None:
    assert 0 == asked(world.limiter, world.provider)


def test_a_pause_holds_every_worker_until_it_ends(world: World) -> None:
    world.limiter.pause(world.provider, 0.4)

    waits = [asked(each, world.provider) for each in (world.limiter, world.elsewhere)]
    world.pass_time(0.45)

    assert all(0.2 < wait < 0.41 for wait in waits)
    assert 0 == asked(world.limiter, world.provider)
    assert 0 == asked(world.elsewhere, world.provider)


def test_a_pause_of_one_provider_holds_no_other(world: World) -> None:
    world.limiter.pause(world.provider, 60)

    assert 0 == asked(world.elsewhere, f"{world.provider}-2")


def test_of_several_pauses_the_one_that_ends_last_counts(world: World) -> None:
    world.limiter.pause(world.provider, 60)
    world.elsewhere.pause(world.provider, 90)
    world.limiter.pause(world.provider, 30)

    world.pass_time(65)
    for each in (world.limiter, world.elsewhere):
        assert 20 < asked(each, world.provider) < 25.1


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_pause_of_no_length_is_none(world: World, seconds: float) -> None:
    world.limiter.pause(world.provider, seconds)

    assert 0 == asked(world.limiter, world.provider)


def test_a_pause_shorter_than_a_millisecond_does_not_break_the_shared_one(world: World) -> None:
    world.limiter.pause(world.provider, 0.0001)
    world.limiter.pause(world.provider, 60)

    assert 50 < asked(world.elsewhere, world.provider) <= 60


# --- calls ----------------------------------------------------------------------


def shown_until_granted(world: World, ticket: Ticket) -> float:
    """Seconds it took, by what it was told to wait."""
    waited = 0.0
    while (seconds := world.limiter.acquire(ticket)) > 0:
        world.pass_time(seconds)
        waited += seconds
    return waited


def test_where_no_limit_is_known_every_call_may_be_made(limited: Limited) -> None:
    world = limited(Rules())
    tickets = [world.limiter.ticket(world.provider, 1000) for _ in range(50)]
    assert [0.0] * 50 == [world.limiter.acquire(one) for one in tickets]


def test_what_one_worker_takes_is_gone_for_the_other(limited: Limited) -> None:
    world = limited(Rules(requests=120))
    first, second = (world.limiter.ticket(world.provider, 1) for _ in range(2))
    assert 0 == world.limiter.acquire(first)
    assert 0.1 < world.elsewhere.acquire(second) <= 0.5


def test_a_call_that_waited_as_long_as_it_was_told_is_granted(limited: Limited) -> None:
    world = limited(Rules(tokens=60_000))
    waits = [shown_until_granted(world, world.limiter.ticket(world.provider, 400)) for _ in "abc"]
    assert 0 == waits[0]
    assert 0.2 < sum(waits) < 1


def test_after_an_idle_time_no_more_than_the_burst_leaves_at_once(limited: Limited) -> None:
    world = limited(Rules(requests=600))
    tickets = [world.limiter.ticket(world.provider, 1) for _ in range(60)]
    world.limiter.acquire(tickets.pop())
    world.pass_time(2.0)
    granted = [world.limiter.acquire(one) == 0 for one in tickets]
    assert 5 <= sum(granted) <= 7


def test_a_limit_one_worker_learned_holds_all(shared: Limited) -> None:
    world = shared(Rules())
    world.limiter.learn(world.provider, {"x-ratelimit-limit-requests": "60"})
    tickets = [world.elsewhere.ticket(world.provider, 1) for _ in range(3)]
    assert [True, False, False] == [world.elsewhere.acquire(one) == 0 for one in tickets]


def test_a_limit_that_counts_by_the_day_is_forgotten(shared: Limited) -> None:
    world = shared(Rules())
    limit = {"x-ratelimit-limit-requests": "60"}
    world.limiter.learn(world.provider, limit)
    world.limiter.learn(world.provider, limit | {"x-ratelimit-reset-requests": "5h0m0s"})
    tickets = [world.elsewhere.ticket(world.provider, 1) for _ in range(20)]
    assert [0.0] * 20 == [world.elsewhere.acquire(one) for one in tickets]


def test_little_that_remains_is_heeded(shared: Limited) -> None:
    world = shared(Rules(requests=600))
    world.limiter.acquire(world.limiter.ticket(world.provider, 1))
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "0"}
    world.limiter.learn(world.provider, headers)
    assert world.elsewhere.acquire(world.elsewhere.ticket(world.provider, 1)) > 0


def test_usage_above_the_estimate_is_taken_off_afterwards(limited: Limited) -> None:
    world = limited(Rules(tokens=60_000))
    ticket = world.limiter.ticket(world.provider, 100)
    world.limiter.acquire(ticket)
    world.limiter.settle(ticket, 10_000)
    assert world.elsewhere.acquire(world.elsewhere.ticket(world.provider, 1)) > 1


def test_usage_below_the_estimate_is_given_back(limited: Limited) -> None:
    world = limited(Rules(tokens=60_000))
    ticket = world.limiter.ticket(world.provider, 60_000)
    world.limiter.acquire(ticket)
    world.limiter.settle(ticket, 1)
    assert 0 == world.elsewhere.acquire(world.elsewhere.ticket(world.provider, 100))


def test_estimates_follow_what_earlier_ones_came_to(limited: Limited) -> None:
    world = limited(Rules())
    for _ in range(50):
        world.limiter.settle(world.limiter.ticket(world.provider, 1000), 1500)
    assert 1500 == pytest.approx(world.limiter.ticket(world.provider, 1000).tokens, rel=0.02)


def test_a_refusal_empties_what_was_thought_to_be_left(limited: Limited) -> None:
    world = limited(Rules(requests=600))
    world.limiter.acquire(world.limiter.ticket(world.provider, 1))
    world.limiter.refused(world.provider)
    assert world.elsewhere.acquire(world.elsewhere.ticket(world.provider, 1)) > 0


def test_refusals_slow_down_where_no_limit_is_known(shared: Limited) -> None:
    world = shared(Rules())
    for _ in range(3):
        world.limiter.acquire(world.limiter.ticket(world.provider, 1))
    for _ in range(2):
        world.limiter.refused(world.provider)
    assert world.elsewhere.acquire(world.elsewhere.ticket(world.provider, 1)) > 0


def test_a_pause_holds_calls_and_queries(limited: Limited) -> None:
    world = limited(Rules())
    world.elsewhere.pause(world.provider, 60)
    for purpose in ("migration", "query"):
        ticket = world.limiter.ticket(world.provider, 1, purpose=purpose)
        assert 50 < world.limiter.acquire(ticket) <= 60


def test_a_query_is_served_before_migrations_that_waited_longer(shared: Limited) -> None:
    world = shared(Rules(requests=300))
    waiting = [world.limiter.ticket(world.provider, 1, migration_id=uuid4()) for _ in range(6)]
    assert max([world.limiter.acquire(one) for one in waiting]) > 0
    query = world.elsewhere.ticket(world.provider, 1, purpose="query")
    assert shown_until_granted(world, query) < 0.5


def test_migrations_leave_a_share_to_queries_that_come(shared: Limited) -> None:
    world = shared(Rules(requests=1200, query_share=0.75))
    world.limiter.acquire(world.limiter.ticket(world.provider, 1, purpose="query"))
    granted = 0
    for _ in range(20):
        granted += world.limiter.acquire(world.limiter.ticket(world.provider, 1)) == 0
    assert 1 <= granted <= 3, "half a second of a quarter of the limit"


def test_turns_go_to_the_migration_that_has_had_least(shared: Limited) -> None:
    world = shared(Rules(requests=600))
    busy, late = uuid4(), uuid4()
    crowd = [world.limiter.ticket(world.provider, 1, migration_id=busy) for _ in range(12)]
    waits = [world.limiter.acquire(one) for one in crowd]
    newcomer = world.elsewhere.ticket(world.provider, 1, migration_id=late)
    assert 0 < world.elsewhere.acquire(newcomer) < max(waits)


def test_a_pause_outlives_the_redis_that_held_it(volatile: VolatileRedis) -> None:
    limiter = RedisRateLimiter(volatile.url)
    limiter.pause("openai", 60)

    with Redis.from_url(volatile.url) as client:
        client.flushall()

    assert 50 < asked(limiter, "openai") <= 60


def test_a_redis_that_is_back_is_asked_again_after_a_while(volatile: VolatileRedis) -> None:
    clock = FakeClock()
    limiter = RedisRateLimiter(volatile.url, clock=clock)
    volatile.stop()
    asked(limiter, "openai")

    volatile.start()
    RedisRateLimiter(volatile.url).pause("openai", 60)
    at_once = asked(limiter, "openai")
    clock.sleep(LEAVE_ALONE_SECONDS)

    assert 0 == at_once
    assert 50 < asked(limiter, "openai") <= 60


def test_a_restarted_redis_shares_pauses_at_once(volatile: VolatileRedis) -> None:
    limiter, elsewhere = RedisRateLimiter(volatile.url), RedisRateLimiter(volatile.url)
    limiter.pause("anthropic", 1)

    volatile.stop()
    volatile.start()
    limiter.pause("openai", 60)

    assert 50 < asked(elsewhere, "openai") <= 60


# --- what is known of a limit -----------------------------------------------------


def test_a_limit_that_is_set_by_hand_is_known(limited: Limited) -> None:
    world = limited(Rules(requests=60))
    assert {"requests": 60} == world.limiter.limits(world.provider)
    assert {} == world.limiter.limits("another")


def test_a_limit_that_was_announced_is_known_to_whoever_has_made_a_call(shared: Limited) -> None:
    world = shared(Rules(tokens=900))
    world.limiter.learn(
        world.provider, {"x-ratelimit-limit-requests": "60", "x-ratelimit-limit-tokens": "5000"}
    )
    known = {"requests": 60, "tokens": 900}
    assert known == world.limiter.limits(world.provider), "what is set by hand wins"
    assert 0 == world.elsewhere.acquire(world.elsewhere.ticket(world.provider, 1))
    assert known == world.elsewhere.limits(world.provider)


def test_refusals_and_waits_are_counted_over_all_who_ask(limited: Limited) -> None:
    world = limited(Rules(requests=60))
    for limiter in (world.limiter, world.elsewhere):
        limiter.refused(world.provider)
        limiter.waited(world.provider, 1.5)
    counts = world.elsewhere.counts()[world.provider]
    assert (2, 3.0) == (counts.refusals, counts.waited_seconds)
