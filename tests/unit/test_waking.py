"""Waking somebody costs the caller nothing, whatever the broker does."""

from __future__ import annotations

import threading

from migrations.model.errors import CheckpointsUnavailable
from migrations.process.waking import Waker


def test_the_caller_does_not_wait_for_the_broker_and_a_name_is_told_of_once() -> None:
    told: list[str] = []
    goes_on, all_told = threading.Event(), threading.Event()

    def tell(name: str) -> None:
        goes_on.wait(10)
        told.append(name)
        if name == "last":
            all_told.set()

    waker = Waker(tell)
    for name in ("first", "a", "b", "a", "b", "last"):
        waker.wake(name)
    assert [] == told
    goes_on.set()
    assert all_told.wait(10)
    assert {"first": 1, "a": 1, "b": 1, "last": 1} == {name: told.count(name) for name in told}


def test_a_broker_that_is_away_or_breaks_keeps_nobody_else_from_being_woken() -> None:
    woken = threading.Event()

    def tell(name: str) -> None:
        if name == "away":
            raise CheckpointsUnavailable
        if name == "broken":
            raise ValueError(name)
        woken.set()

    waker = Waker(tell)
    for name in ("away", "broken", "fine"):
        waker.wake(name)
    assert woken.wait(10)
