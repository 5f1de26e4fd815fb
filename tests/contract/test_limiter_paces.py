"""A run's own pace, as the real Redis keeps to it, on a time that is simulated."""

from __future__ import annotations

import pytest

from migrations.model.pace import Pace
from migrations.ports.limiter import PACE_HOLDS_SECONDS, Rules
from tests.contract.limiter_simulation import (
    PROVIDER,
    TEN,
    Crowd,
    Limited,
    Limiting,
    SimulatedTime,
    simulate,
)


def paced(one: Limited, crowd: Crowd, **pace: float) -> None:
    one.limiter.set_pace(PROVIDER, crowd.id, Pace(**pace) if pace else None)


def calls(one: Limited, crowd: Crowd, seconds: float = 30) -> int:
    return len(simulate(one, [crowd], seconds).sent)


def test_a_tenth_of_the_limit_is_used_and_the_rest_is_anothers(limited: Limiting) -> None:
    one = limited(TEN)
    slow, quick = Crowd("slow", 8), Crowd("quick", 8)
    paced(one, slow, share=0.1)
    sent = simulate(one, [slow, quick], 60).calls_by_flow(10, 60)
    assert 48 <= sent["slow"] <= 51
    assert sent["quick"] >= 0.97 * 450


def test_nothing_is_kept_free_for_a_run_that_may_not_use_it(limited: Limiting) -> None:
    one = limited(TEN)
    slow, quick = Crowd("slow", 64), Crowd("quick", 8)
    paced(one, slow, requests_per_minute=1)
    assert simulate(one, [slow, quick], 60).calls_by_flow(10, 60)["quick"] >= 0.97 * 500


@pytest.mark.parametrize(
    ("rules", "pace", "expected"),
    [
        (Rules(), {"requests_per_minute": 60}, 30),
        (Rules(), {"tokens_per_minute": 60_000}, 30),
        (TEN, {"requests_per_minute": 60}, 30),
        (TEN, {"requests_per_minute": 60, "tokens_per_minute": 12_000}, 6),
        (TEN, {"share": 0.5, "requests_per_minute": 60}, 30),
        (Rules(requests=600, tokens=60_000), {"share": 0.2}, 6),
    ],
    ids=str,
)
def test_of_several_bounds_the_least_counts_also_where_no_limit_is_known(
    limited: Limiting, rules: Rules, pace: dict[str, float], expected: int
) -> None:
    one, crowd = limited(rules), Crowd("a", 8)
    paced(one, crowd, **pace)
    assert expected - 1 <= calls(one, crowd) <= expected + 2


def test_a_pace_is_changed_and_taken_away_while_the_run_is_at_work(limited: Limiting) -> None:
    one, crowd = limited(TEN), Crowd("a", 8)
    found = []
    for pace in ({}, {"share": 0.1}, {"share": 0.5}, {}):
        paced(one, crowd, **pace)
        found.append(calls(one, crowd))
    for at_least, counted, at_most in zip(
        (295, 28, 135, 295), found, (306, 32, 153, 306), strict=True
    ):
        assert at_least <= counted <= at_most, found


def test_who_is_held_hears_of_another_pace_within_two_seconds(
    limited: Limiting, time: SimulatedTime
) -> None:
    one, crowd = limited(TEN), Crowd("a")
    paced(one, crowd, requests_per_minute=1)
    assert 0 == one.ask(one.ticket(crowd.id))
    held = one.ticket(crowd.id)
    wait = one.ask(held)
    assert 0 < wait <= 2
    paced(one, crowd)
    time.sleep(wait)
    assert 0 == one.ask(held)


def test_calls_that_a_pace_holds_go_in_the_order_of_asking(
    limited: Limiting, time: SimulatedTime
) -> None:
    one, crowd = limited(TEN), Crowd("a")
    paced(one, crowd, requests_per_minute=60)
    assert 0 == one.ask(one.ticket(crowd.id))
    waiting = [one.ticket(crowd.id) for _ in range(5)]
    for ticket in waiting:
        assert 0 < one.ask(ticket)
        time.sleep(0.01)
    in_order: list[int] = []
    for _ in range(60):
        for number in reversed(range(5)):
            if number not in in_order and one.ask(waiting[number]) == 0:
                in_order.append(number)
        time.sleep(0.2)
    assert [0, 1, 2, 3, 4] == in_order


def test_what_calls_really_take_counts_against_a_pace_in_tokens(limited: Limiting) -> None:
    one, crowd = limited(Rules()), Crowd("a", 4, real=0.5)
    paced(one, crowd, tokens_per_minute=60_000)
    assert 54_000 <= simulate(one, [crowd], 60).tokens(0, 60) <= 62_000


def test_a_call_that_is_given_up_holds_nobody_up_for_long(
    limited: Limiting, time: SimulatedTime
) -> None:
    one, crowd = limited(TEN), Crowd("a")
    paced(one, crowd, requests_per_minute=60)
    while one.ask(one.ticket(crowd.id)) == 0:
        pass  # the last one waits, and nobody shows it again
    time.sleep(4)
    assert 0 == one.ask(one.ticket(crowd.id))


def test_a_pace_that_is_not_told_again_lapses(limited: Limiting, time: SimulatedTime) -> None:
    one, crowd = limited(TEN), Crowd("a", 8)
    paced(one, crowd, share=0.1)
    time.sleep(PACE_HOLDS_SECONDS - 31)
    assert calls(one, crowd) <= 32
    time.sleep(2)
    assert 295 <= calls(one, crowd)


def test_questions_are_not_held_by_a_runs_pace(limited: Limiting) -> None:
    one, crowd = limited(TEN), Crowd("a")
    paced(one, crowd, requests_per_minute=1)
    assert [0.0, 0.0] == [one.ask(one.ticket(purpose="query")) for _ in range(2)]


def test_another_worker_keeps_to_it_too(redis_url: str, limited: Limiting) -> None:
    one, crowd = limited(TEN), Crowd("a", 8)
    other = Limited(redis_url, one.time, TEN)
    paced(one, crowd, share=0.1)
    assert calls(other, crowd) <= 32
