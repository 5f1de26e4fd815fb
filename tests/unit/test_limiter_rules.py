"""The rules of a provider's limit, on a time that is simulated and threads that are not there."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from devstack.provider.limits import Limits
from migrations.adapters.limiter_headers import announced
from migrations.limits import (
    GRACE_SECONDS,
    LOWER_COUNTS_SECONDS,
    QUERIES_REMEMBERED_SECONDS,
    Purpose,
    Rules,
    Throttle,
    Ticket,
)
from tests.unit.limiter_simulation import Crowd, Outcome, simulate

#: Ten requests a second.
TEN = Rules(requests=600)


def ticket(flow: str = "a", tokens: int = 1, purpose: Purpose = "migration") -> Ticket:
    return Ticket("p", flow, tokens, tokens, purpose)


def drained(rules: Rules, now: float = 0.0) -> Throttle:
    """A throttle whose buckets have nothing left."""
    throttle = Throttle(rules, now)
    while throttle.acquire(ticket("drain", tokens=100), now) == 0:
        pass
    return throttle


def varied(lowest: int, highest: int) -> Callable[[], int]:
    chance = random.Random(7)
    return lambda: chance.randint(lowest, highest)


def against(
    provider: Limits, rules: Rules, crowds: list[Crowd], seconds: float, *, heeds: bool = False
) -> Outcome:
    """Simulate crowds at a provider that enforces; with ``heeds`` its headers are learned from."""
    throttle, time = Throttle(rules, 0.0), [0.0]
    for bucket in provider._buckets.values():
        bucket.clock = lambda: time[0]
        bucket._at = 0.0

    def learn(now: float, headers: dict[str, str]) -> None:
        for kind, told in announced(headers).items() if heeds else ():
            throttle.learn(kind, told.per_minute, told.remaining, now)

    return simulate(
        throttle,
        crowds,
        seconds,
        provider=provider,
        provider_clock=lambda now: time.__setitem__(0, now),
        on_answer=learn,
    )


# --- pace -----------------------------------------------------------------------


def test_nobody_waits_where_no_limit_is_known() -> None:
    throttle = Throttle(Rules(), 0.0)
    assert [0.0] * 100 == [throttle.acquire(ticket(), 0.0) for _ in range(100)]


def test_a_full_bucket_of_half_a_second_is_sent_at_once_and_no_more() -> None:
    throttle = Throttle(TEN, 0.0)
    granted = [throttle.acquire(ticket(), 0.0) == 0 for _ in range(20)]
    assert [True] * 5 + [False] * 15 == granted


@pytest.mark.parametrize(
    "rules",
    [TEN, Rules(tokens=500_000), Rules(requests=300, tokens=200_000), Rules(requests=30)],
    ids=str,
)
def test_no_window_holds_more_than_the_rate_and_the_burst_and_one_call(rules: Rules) -> None:
    crowds = [Crowd("a", 8, tokens=varied(100, 3000)), Crowd("b", 3, tokens=varied(100, 3000))]
    sent = simulate(Throttle(rules, 0.0), crowds, 120, latency=0.0)
    for rate, as_tokens, one in ((rules.requests, False, 1), (rules.tokens, True, 3000)):
        if rate:
            allowed = rate / 60 * rules.burst_seconds + one
            assert sent.most_over(rate / 60, tokens=as_tokens) <= allowed + 1e-6


@pytest.mark.parametrize(
    ("rules", "real"),
    [
        (Rules(requests=600), 1.0),
        (Rules(tokens=1_000_000), 1.0),
        (Rules(tokens=300_000), 1.25),
        (Rules(tokens=300_000), 0.7),
        (Rules(requests=60), 1.0),
    ],
    ids=str,
)
def test_the_limit_is_used_to_97_percent_and_no_call_refused(rules: Rules, real: float) -> None:
    crowd = Crowd("a", 8, tokens=varied(300, 3000), real=real)
    outcome = against(Limits(rules.requests, rules.tokens), rules, [crowd], 140)
    used = (
        len(outcome.between(20, 140)) / rules.requests / 2
        if rules.requests
        else outcome.tokens(20, 140) / (rules.tokens or 0) / 2
    )
    assert 0.97 <= used <= 1.03
    assert 0 == outcome.refused


def test_a_provider_whose_own_bucket_is_a_second_is_not_overrun() -> None:
    outcome = against(Limits(600, burst_seconds=1), TEN, [Crowd("a", 16)], 140)
    assert 0.97 <= len(outcome.between(20, 140)) / 1200 <= 1.03
    assert 0 == outcome.refused


def test_real_usage_replaces_what_was_reserved() -> None:
    throttle = Throttle(Rules(tokens=60_000), 0.0)
    one = ticket(tokens=400)
    throttle.acquire(one, 0.0)
    throttle.settle(one, 10_000, 0.0)
    assert throttle.acquire(ticket(tokens=1), 9.0) > 0
    assert 0 == throttle.acquire(ticket(tokens=1), 9.9)


def test_what_was_reserved_too_much_is_given_back() -> None:
    throttle = Throttle(Rules(tokens=60_000), 0.0)
    one = ticket(tokens=20_000)
    throttle.acquire(one, 0.0)
    throttle.settle(one, 100, 0.0)
    assert 0 == throttle.acquire(ticket(tokens=300), 0.0)


# --- turn -----------------------------------------------------------------------


def test_three_migrations_share_evenly_however_many_threads_each_has() -> None:
    crowds = [Crowd("a", 16), Crowd("b", 8), Crowd("c", 6)]
    calls = simulate(Throttle(TEN, 0.0), crowds, 120).calls_by_flow(10, 120)
    even = sum(calls.values()) / 3
    assert all(abs(calls[flow] - even) <= 0.02 * even for flow in "abc")


def test_a_share_is_counted_in_what_is_scarce_not_in_calls() -> None:
    crowds = [Crowd("a", 8, tokens=lambda: 1000), Crowd("b", 8, tokens=lambda: 4000)]
    outcome = simulate(Throttle(Rules(tokens=600_000), 0.0), crowds, 120)
    calls = outcome.calls_by_flow(10, 120)
    assert 4 == pytest.approx(calls["a"] / calls["b"], rel=0.05)


def test_what_a_migration_cannot_use_goes_to_the_others() -> None:
    crowds = [Crowd("a", 16), Crowd("lonely", 1)]  # one thread: 2.5 calls a second of its 5
    calls = simulate(Throttle(TEN, 0.0), crowds, 120).calls_by_flow(20, 120)
    assert 0.97 <= sum(calls.values()) / 1000
    assert 2.2 <= calls["lonely"] / 100 <= 2.6


def test_a_migration_that_ended_leaves_its_share_at_once() -> None:
    crowds = [Crowd("a", 8), Crowd("b", 8, ends=30)]
    calls = simulate(Throttle(TEN, 0.0), crowds, 60).calls_by_flow(32, 60)
    assert 0.97 <= calls["a"] / 280


def test_a_migration_that_comes_later_owes_nothing_and_is_owed_nothing() -> None:
    crowds = [Crowd("a", 8), Crowd("b", 8, begins=60)]
    calls = simulate(Throttle(TEN, 0.0), crowds, 70).calls_by_flow(61, 70)
    assert 1 == pytest.approx(calls["a"] / calls["b"], abs=0.1)


def test_a_waiter_that_never_comes_back_holds_nobody_up_for_long() -> None:
    throttle = drained(TEN)
    for _ in range(50):
        throttle.acquire(ticket("gone"), 0.0)
    # Their time and the grace are over, and nothing of them is left ahead.
    later = 6.0 + GRACE_SECONDS
    assert 0 == throttle.acquire(ticket("gone"), later)


# --- queries --------------------------------------------------------------------


def test_a_query_goes_before_every_migration_that_waits() -> None:
    throttle = drained(TEN)
    waiting = [ticket() for _ in range(8)]
    waits = [throttle.acquire(one, 0.0) for one in waiting]
    query = ticket(purpose="query")
    assert throttle.acquire(query, 0.0) <= min(waits)
    assert throttle.acquire(waiting[0], 0.12) > 0
    assert 0 == throttle.acquire(query, 0.12)


def test_migrations_leave_the_reserved_share_while_queries_come() -> None:
    rules = Rules(requests=600, query_share=0.2)
    crowds = [Crowd("a", 8), Crowd("bot", 1, purpose="query")]
    calls = simulate(Throttle(rules, 0.0), crowds, 120, latency=1.0).calls_by_flow(20, 120)
    assert 8 == pytest.approx(calls["a"] / 100, rel=0.03)


def test_without_queries_migrations_use_the_whole_limit_again_after_a_minute() -> None:
    rules = Rules(requests=600, query_share=0.5)
    crowds = [Crowd("bot", 1, purpose="query", ends=1), Crowd("a", 16)]
    outcome = simulate(Throttle(rules, 0.0), crowds, 120)
    remembered = QUERIES_REMEMBERED_SECONDS
    assert 5 == pytest.approx(len(outcome.between(10, 50)) / 40, rel=0.05)
    begun = remembered + 5
    assert 10 == pytest.approx(len(outcome.between(begun, 120)) / (120 - begun), rel=0.03)


# --- what the provider says -----------------------------------------------------


def test_a_limit_is_learned_from_headers_and_then_kept_to() -> None:
    outcome = against(Limits(600, 10_000_000), Rules(), [Crowd("a", 8)], 120, heeds=True)
    assert 0.97 <= len(outcome.between(20, 120)) / 1000 <= 1.03
    assert 0 == outcome.refused


def test_a_limit_by_hand_wins_over_what_is_announced() -> None:
    throttle = Throttle(TEN, 0.0)
    throttle.learn("requests", 6000, None, 0.0)
    assert {"requests": 10.0} == throttle.rates(0.0)


def test_of_two_limits_announced_within_a_minute_the_lower_counts() -> None:
    throttle = Throttle(Rules(), 0.0)
    throttle.learn("tokens", 60_000, None, 0.0)
    throttle.learn("tokens", 600_000, None, 1.0)
    assert {"tokens": 1000.0} == throttle.rates(1.0)
    throttle.learn("tokens", 600_000, None, LOWER_COUNTS_SECONDS)
    assert {"tokens": 10_000.0} == throttle.rates(LOWER_COUNTS_SECONDS)


def test_what_others_took_of_the_limit_is_noticed_in_what_remains() -> None:
    throttle = Throttle(TEN, 0.0)
    throttle.acquire(ticket(), 0.0)
    throttle.learn("requests", 600, 0, 0.0)
    assert throttle.acquire(ticket(), 0.0) > 0


def test_a_pause_holds_everybody_and_the_longest_counts() -> None:
    throttle = Throttle(Rules(), 0.0)
    throttle.pause(30, 0.0)
    throttle.pause(10, 0.0)
    assert 20 == throttle.acquire(ticket(), 10.0)
    assert 20 == throttle.acquire(ticket(purpose="query"), 10.0)
    assert 0 == throttle.acquire(ticket(), 30.0)


def test_one_refusal_alone_changes_no_pace() -> None:
    throttle = Throttle(TEN, 0.0)
    throttle.refused(10.0)
    assert {"requests": 10.0} == throttle.rates(10.0)


def test_a_known_limit_that_goes_on_refusing_is_used_more_slowly_and_recovers() -> None:
    throttle = Throttle(TEN, 0.0)
    for second in range(5):
        throttle.refused(float(second))
    assert 10 * 0.95**4 == pytest.approx(throttle.rates(4.0)["requests"], rel=0.01)
    assert {"requests": 10.0} == throttle.rates(200.0)


def test_an_unannounced_limit_is_found_and_rarely_overrun() -> None:
    provider = Limits(600, burst_seconds=1)
    outcome = against(provider, Rules(), [Crowd("a", 16)], 400)
    in_the_end = len(outcome.between(200, 400)) / 2000
    assert 0.85 <= in_the_end <= 1.03
    assert outcome.refused <= 0.02 * len(outcome.sent)


def test_an_unannounced_limit_that_is_lifted_is_noticed() -> None:
    throttle = Throttle(Rules(), 0.0)
    for second in range(60):
        throttle.acquire(ticket(), float(second))
        throttle.refused(float(second))
    slow = throttle.rates(60.0)["requests"]
    assert throttle.rates(660.0)["requests"] > 10 * slow


# --- alone ----------------------------------------------------------------------


def test_rules_divided_among_processes_add_up_to_the_limit() -> None:
    part = Rules(requests=600, tokens=90_000).divided(3)
    assert (200, 30_000) == (part.requests, part.tokens)
    assert Rules() == Rules().divided(3)
