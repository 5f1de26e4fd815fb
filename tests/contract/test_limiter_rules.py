"""The rules of a provider's limit, as the real Redis runs them, on a time that is simulated."""

from __future__ import annotations

import random
from collections.abc import Callable
from uuid import uuid4

import pytest

from devstack.provider.limits import Limits
from migrations.adapters.limiter.scripts import (
    GRACE_SECONDS,
    LOWER_COUNTS_SECONDS,
    QUERIES_REMEMBERED_SECONDS,
)
from migrations.ports.limiter import Rules
from tests.contract.limiter_simulation import (
    PROVIDER,
    TEN,
    Crowd,
    Limiting,
    SimulatedTime,
    simulate,
)


def varied(lowest: int, highest: int) -> Callable[[], int]:
    chance = random.Random(7)
    return lambda: chance.randint(lowest, highest)


# --- pace -----------------------------------------------------------------------


def test_nobody_waits_where_no_limit_is_known(limited: Limiting) -> None:
    one = limited(Rules())
    assert [0.0] * 100 == [one.ask() for _ in range(100)]


def test_a_full_bucket_of_half_a_second_is_sent_at_once_and_no_more(limited: Limiting) -> None:
    one = limited(TEN)
    granted = [one.ask() == 0 for _ in range(20)]
    assert [True] * 5 + [False] * 15 == granted


@pytest.mark.parametrize(
    "rules",
    [TEN, Rules(tokens=500_000), Rules(requests=300, tokens=200_000), Rules(requests=30)],
    ids=str,
)
def test_no_window_holds_more_than_the_rate_and_the_burst_and_one_call(
    limited: Limiting, rules: Rules
) -> None:
    crowds = [Crowd("a", 8, tokens=varied(100, 3000)), Crowd("b", 3, tokens=varied(100, 3000))]
    sent = simulate(limited(rules), crowds, 40, latency=0.0)
    for rate, as_tokens, one in ((rules.requests, False, 1), (rules.tokens, True, 3000)):
        if rate:
            allowed = rate / 60 * rules.burst_seconds + one
            assert sent.most_over(rate / 60, tokens=as_tokens) <= allowed + 1e-3


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
def test_the_limit_is_used_to_97_percent_and_no_call_refused(
    limited: Limiting, time: SimulatedTime, rules: Rules, real: float
) -> None:
    crowd = Crowd("a", 6, tokens=varied(300, 3000), real=real)
    provider = Limits(rules.requests, rules.tokens, clock=time.monotonic)
    outcome = simulate(limited(rules), [crowd], 50, provider=provider)
    used = (
        len(outcome.between(20, 50)) / rules.requests * 2
        if rules.requests
        else outcome.tokens(20, 50) / (rules.tokens or 0) * 2
    )
    assert 0.97 <= used <= 1.03
    assert 0 == outcome.refused


def test_a_provider_whose_own_bucket_is_a_second_is_not_overrun(
    limited: Limiting, time: SimulatedTime
) -> None:
    provider = Limits(600, burst_seconds=1, clock=time.monotonic)
    outcome = simulate(limited(TEN), [Crowd("a", 8)], 50, provider=provider)
    assert 0.97 <= len(outcome.between(20, 50)) / 300 <= 1.03
    assert 0 == outcome.refused


def test_real_usage_replaces_what_was_reserved(limited: Limiting, time: SimulatedTime) -> None:
    one = limited(Rules(tokens=60_000))
    ticket = one.ticket(tokens=400)
    one.ask(ticket)
    one.limiter.settle(ticket, 10_000)
    time.sleep(9.0)
    assert one.ask() > 0
    time.sleep(0.9)
    assert 0 == one.ask()


def test_what_was_reserved_too_much_is_given_back(limited: Limiting) -> None:
    one = limited(Rules(tokens=60_000))
    ticket = one.ticket(tokens=20_000)
    one.ask(ticket)
    one.limiter.settle(ticket, 100)
    assert 0 == one.ask(one.ticket(tokens=300))


# --- turn -----------------------------------------------------------------------


def test_three_migrations_share_evenly_however_many_threads_each_has(limited: Limiting) -> None:
    crowds = [Crowd("a", 8), Crowd("b", 4), Crowd("c", 3)]
    calls = simulate(limited(TEN), crowds, 70).calls_by_flow(10, 70)
    even = sum(calls.values()) / 3
    assert all(abs(calls[flow] - even) <= 0.02 * even for flow in "abc")


def test_a_share_is_counted_in_what_is_scarce_not_in_calls(limited: Limiting) -> None:
    crowds = [Crowd("a", 8, tokens=lambda: 1000), Crowd("b", 8, tokens=lambda: 4000)]
    outcome = simulate(limited(Rules(tokens=600_000)), crowds, 70)
    calls = outcome.calls_by_flow(10, 70)
    assert 4 == pytest.approx(calls["a"] / calls["b"], rel=0.05)


def test_what_a_migration_cannot_use_goes_to_the_others(limited: Limiting) -> None:
    crowds = [Crowd("a", 8), Crowd("lonely", 1)]  # one thread: 2.5 calls a second of its 5
    calls = simulate(limited(TEN), crowds, 70).calls_by_flow(20, 70)
    assert 0.97 <= sum(calls.values()) / 500
    assert 2.2 <= calls["lonely"] / 50 <= 2.6


def test_a_migration_that_ended_leaves_its_share_at_once(limited: Limiting) -> None:
    crowds = [Crowd("a", 8), Crowd("b", 8, ends=30)]
    calls = simulate(limited(TEN), crowds, 60).calls_by_flow(32, 60)
    assert 0.97 <= calls["a"] / 280


def test_a_migration_that_comes_later_owes_nothing_and_is_owed_nothing(limited: Limiting) -> None:
    crowds = [Crowd("a", 8), Crowd("b", 8, begins=60)]
    calls = simulate(limited(TEN), crowds, 70).calls_by_flow(61, 70)
    assert 1 == pytest.approx(calls["a"] / calls["b"], abs=0.1)


def test_a_waiter_that_never_comes_back_holds_nobody_up_for_long(
    limited: Limiting, time: SimulatedTime
) -> None:
    one, gone = limited(TEN).drained(), uuid4()
    for _ in range(50):
        one.ask(one.ticket(gone))
    # Their time and the grace are over, and nothing of them is left ahead.
    time.sleep(6.0 + GRACE_SECONDS)
    assert 0 == one.ask(one.ticket(gone))


# --- queries --------------------------------------------------------------------


def test_a_query_goes_before_every_migration_that_waits(
    limited: Limiting, time: SimulatedTime
) -> None:
    one = limited(TEN).drained()
    waiting = [one.ticket(uuid4()) for _ in range(8)]
    waits = [one.ask(ticket) for ticket in waiting]
    query = one.ticket(purpose="query")
    assert one.ask(query) <= min(waits)
    time.sleep(0.12)
    assert one.ask(waiting[0]) > 0
    assert 0 == one.ask(query)


def test_migrations_leave_the_reserved_share_while_queries_come(limited: Limiting) -> None:
    rules = Rules(requests=600, query_share=0.2)
    crowds = [Crowd("a", 8), Crowd("bot", 1, purpose="query")]
    calls = simulate(limited(rules), crowds, 70, latency=1.0).calls_by_flow(20, 70)
    assert 8 == pytest.approx(calls["a"] / 50, rel=0.03)


def test_without_queries_migrations_use_the_whole_limit_again_after_a_minute(
    limited: Limiting,
) -> None:
    rules = Rules(requests=600, query_share=0.5)
    crowds = [Crowd("bot", 1, purpose="query", ends=1), Crowd("a", 6)]
    outcome = simulate(limited(rules), crowds, 100)
    assert 5 == pytest.approx(len(outcome.between(10, 50)) / 40, rel=0.05)
    begun = QUERIES_REMEMBERED_SECONDS + 5
    assert 10 == pytest.approx(len(outcome.between(begun, 100)) / (100 - begun), rel=0.03)


# --- what the provider says -----------------------------------------------------


def announced(limit: str, per_minute: int) -> dict[str, str]:
    return {f"x-ratelimit-limit-{limit}": str(per_minute)}


def test_a_limit_is_learned_from_headers_and_then_kept_to(
    limited: Limiting, time: SimulatedTime
) -> None:
    provider = Limits(600, 10_000_000, clock=time.monotonic)
    outcome = simulate(limited(Rules()), [Crowd("a", 6)], 50, provider=provider, heeds=True)
    assert 0.97 <= len(outcome.between(20, 50)) / 300 <= 1.03
    assert 0 == outcome.refused


def test_a_limit_by_hand_wins_over_what_is_announced(limited: Limiting) -> None:
    one = limited(TEN)
    one.limiter.learn(PROVIDER, announced("requests", 6000))
    assert 10 == pytest.approx(one.pace(5), rel=0.05)


def test_of_two_limits_announced_within_a_minute_the_lower_counts(
    limited: Limiting, time: SimulatedTime
) -> None:
    one = limited(Rules())
    one.limiter.learn(PROVIDER, announced("tokens", 60_000))
    time.sleep(1)
    one.limiter.learn(PROVIDER, announced("tokens", 600_000))
    assert 10 == pytest.approx(one.pace(5, tokens=100), rel=0.05)
    time.sleep(LOWER_COUNTS_SECONDS)
    one.limiter.learn(PROVIDER, announced("tokens", 600_000))
    assert 100 == pytest.approx(one.pace(2, tokens=100), rel=0.05)


def test_what_others_took_of_the_limit_is_noticed_in_what_remains(limited: Limiting) -> None:
    one = limited(TEN)
    one.ask()
    left = {"x-ratelimit-remaining-requests": "0"}
    one.limiter.learn(PROVIDER, announced("requests", 600) | left)
    assert one.ask() > 0


def test_a_pause_holds_everybody_and_the_longest_counts(
    limited: Limiting, time: SimulatedTime
) -> None:
    one, elsewhere = limited(Rules()), limited(Rules())
    one.limiter.pause(PROVIDER, 30)
    one.limiter.pause(PROVIDER, 10)
    time.sleep(10)
    for each in (one, elsewhere):
        assert 20 == pytest.approx(each.ask())
        assert 20 == pytest.approx(each.ask(each.ticket(purpose="query")))
    time.sleep(20)
    assert [0, 0] == [one.ask(), elsewhere.ask()]


def test_one_refusal_alone_changes_no_pace(limited: Limiting) -> None:
    one = limited(TEN)
    one.limiter.refused(PROVIDER)
    assert 10 == pytest.approx(one.pace(5), rel=0.03)


def test_a_known_limit_that_goes_on_refusing_is_used_more_slowly_and_recovers(
    limited: Limiting, time: SimulatedTime
) -> None:
    one = limited(TEN)
    for _ in range(5):
        one.limiter.refused(PROVIDER)
        time.sleep(1)
    assert 10 * 0.95**4 == pytest.approx(one.pace(10), rel=0.05)
    time.sleep(200)
    assert 10 == pytest.approx(one.pace(10), rel=0.05)


def test_an_unannounced_limit_is_found_and_rarely_overrun(
    limited: Limiting, time: SimulatedTime
) -> None:
    provider = Limits(300, burst_seconds=1, clock=time.monotonic)
    outcome = simulate(limited(Rules()), [Crowd("a", 8)], 300, provider=provider)
    in_the_end = len(outcome.between(150, 300)) / 750
    assert 0.85 <= in_the_end <= 1.03
    assert outcome.refused <= 0.02 * len(outcome.sent)


def test_an_unannounced_limit_that_is_lifted_is_noticed(
    limited: Limiting, time: SimulatedTime
) -> None:
    one = limited(Rules())
    for _ in range(60):
        one.ask()
        one.limiter.refused(PROVIDER)
        time.sleep(1)
    assert one.pace(10) < 0.3
    time.sleep(540)
    assert one.pace(60) > 0.5


class RefusesAll(Limits):
    """For a while, as a provider that has other troubles does."""

    def __init__(self, time: SimulatedTime, begins: float, ends: float) -> None:
        super().__init__(1e9, clock=time.monotonic)
        self._time, self._begins, self._ends = time, time.monotonic() + begins, ends - begins

    def take(self, tokens: int) -> tuple[float, dict[str, str]]:
        is_refusing = 0 <= self._time.monotonic() - self._begins < self._ends
        return (1.0, {}) if is_refusing else (super().take(tokens)[0], {})


@pytest.mark.parametrize("begins", [0, 60], ids=["from the first call on", "after a while"])
def test_after_forty_seconds_of_refusals_the_pace_is_back_within_two_minutes(
    limited: Limiting, time: SimulatedTime, begins: float
) -> None:
    ends = begins + 40
    provider = RefusesAll(time, begins, ends)
    outcome = simulate(limited(Rules()), [Crowd("a", 8)], ends + 150, provider=provider)
    usual = 8 / 0.4
    assert len(outcome.between(ends + 40, ends + 60)) >= 0.35 * usual * 20
    assert len(outcome.between(ends + 120, ends + 150)) >= 0.95 * usual * 30
    assert outcome.refused <= 60


def test_refusals_of_some_calls_still_count_as_too_fast_a_pace(
    limited: Limiting, time: SimulatedTime
) -> None:
    provider = Limits(30, burst_seconds=1, clock=time.monotonic)  # a call every two seconds
    outcome = simulate(limited(Rules()), [Crowd("a", 8)], 600, provider=provider)
    assert 0.7 <= len(outcome.between(300, 600)) / 150 <= 1.03
    assert outcome.refused <= 0.25 * len(outcome.sent)


def test_what_was_learned_is_told_and_forgotten(limited: Limiting, time: SimulatedTime) -> None:
    one = limited(Rules())
    for _ in range(5):
        one.ask()
        one.limiter.refused(PROVIDER)
        time.sleep(1)
    learned = one.limiter.learned(PROVIDER)
    assert learned is not None
    assert learned.is_slowed
    assert "without announcing a limit" in (learned.told or "")
    assert [learned] == one.limiter.all_learned()
    assert one.limiter.forget(PROVIDER)
    assert [0.0] * 20 == [one.ask() for _ in range(20)]
    forgotten = one.limiter.learned(PROVIDER)
    assert forgotten is not None
    assert (False, None) == (forgotten.is_slowed, forgotten.told)


def test_what_is_left_of_a_known_limit_is_told_with_a_pause_in_force(
    limited: Limiting, time: SimulatedTime
) -> None:
    one = limited(TEN)
    for _ in range(5):
        one.limiter.refused(PROVIDER)
        time.sleep(1)
    learned = one.limiter.learned(PROVIDER)
    assert learned is not None
    assert {"requests": 600} == learned.limits
    assert 0.8 < learned.share < 0.85
    one.limiter.pause(PROVIDER, 20)
    paused = one.limiter.learned(PROVIDER)
    assert paused is not None
    assert "wait for 20 s" in (paused.told or "")
