"""What one process makes of its part of a limit while Redis is away."""

from __future__ import annotations

import pytest

from migrations.adapters.limiter.alone import SLOWED_BY, SLOWEST, PlainBuckets
from migrations.ports.limiter import Rules, Ticket

#: Ten requests a second, and bursts of five.
TEN = Rules(requests=600)


def ticket(tokens: int = 1) -> Ticket:
    return Ticket("p", "a", tokens, tokens)


def granted(buckets: PlainBuckets, begin: float, end: float, tokens: int = 1) -> int:
    """Calls of one caller that comes back when it is told to."""
    now, count = begin, 0
    while now < end:
        wait = buckets.acquire(ticket(tokens), now)
        count, now = count + (wait == 0), now + wait
    return count


def test_without_limits_nobody_waits() -> None:
    buckets = PlainBuckets(Rules(), 0.0)
    assert [0.0] * 100 == [buckets.acquire(ticket(), 0.0) for _ in range(100)]


def test_a_burst_is_sent_at_once_and_the_rest_at_the_pace() -> None:
    buckets = PlainBuckets(TEN, 0.0)
    assert [True] * 5 + [False] * 5 == [buckets.acquire(ticket(), 0.0) == 0 for _ in range(10)]
    assert 100 == pytest.approx(granted(buckets, 0.0, 10.0), abs=1)


def test_an_idle_time_saves_up_no_more_than_a_burst() -> None:
    buckets = PlainBuckets(TEN, 0.0)
    assert 5 == sum(buckets.acquire(ticket(), 3600.0) == 0 for _ in range(10))


def test_the_scarcer_of_two_limits_counts() -> None:
    buckets = PlainBuckets(Rules(requests=600, tokens=60_000), 0.0)
    assert 20 == pytest.approx(granted(buckets, 0.0, 10.0, tokens=500), abs=2)


def test_a_call_above_the_burst_is_let_through_and_paid_for_afterwards() -> None:
    buckets = PlainBuckets(Rules(tokens=60_000), 0.0)
    assert 0 == buckets.acquire(ticket(5000), 0.0)
    assert buckets.acquire(ticket(1), 4.4) > 0
    assert 0 == buckets.acquire(ticket(1), 4.6)


def test_real_usage_replaces_what_was_reserved() -> None:
    buckets, one = PlainBuckets(Rules(tokens=60_000), 0.0), ticket(400)
    buckets.acquire(one, 0.0)
    buckets.settle(one, 10_000)
    assert buckets.acquire(ticket(), 9.0) > 0
    assert 0 == buckets.acquire(ticket(), 9.9)


def test_what_was_reserved_too_much_is_given_back() -> None:
    buckets, one = PlainBuckets(Rules(tokens=60_000), 0.0), ticket(20_000)
    buckets.acquire(one, 0.0)
    buckets.settle(one, 100)
    assert 0 == buckets.acquire(ticket(300), 0.0)


def test_a_refusal_empties_and_slows() -> None:
    buckets = PlainBuckets(TEN, 0.0)
    buckets.refused(0.0)
    assert buckets.acquire(ticket(), 0.0) > 0
    assert 100 * SLOWED_BY == pytest.approx(granted(buckets, 0.0, 10.0), abs=1)


def test_refusals_without_end_leave_something() -> None:
    buckets = PlainBuckets(TEN, 0.0)
    for _ in range(100):
        buckets.refused(0.0)
    assert 100 * SLOWEST == pytest.approx(granted(buckets, 0.0, 10.0), abs=1)
