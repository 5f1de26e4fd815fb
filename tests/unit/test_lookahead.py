"""Several at a time, in order, and never far ahead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event, current_thread

import pytest

from migrations.process.threads import in_order, meanwhile


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items_however_long_each_takes(threads: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return -item

    assert [-item for item in range(20)] == list(in_order(threads, work, range(20)))


def test_several_are_worked_on_at_a_time() -> None:
    second_begun = Event()

    def work(item: int) -> bool:
        if item == 1:
            second_begun.set()
        return second_begun.wait(10)

    assert [True, True] == list(in_order(2, work, range(2)))


def test_no_more_items_are_drawn_than_there_are_threads_ahead_of_the_consumer() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    results = in_order(3, lambda item: item, items())
    assert 0 == next(results)
    assert 4 == len(drawn)
    results.close()  # type: ignore[attr-defined]
    assert 4 == len(drawn)


def test_a_failure_is_raised_in_its_turn() -> None:
    def work(item: int) -> float:
        return 1 / (2 - item)

    results = in_order(2, work, range(9))
    assert [0.5, 1.0] == [next(results), next(results)]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_one_thread_is_the_consumer_s_own() -> None:
    mine = current_thread()
    assert [mine, mine] == list(in_order(1, lambda item: current_thread(), range(2)))


def test_what_is_done_meanwhile_has_begun_before_it_is_waited_for() -> None:
    begun = Event()
    wait = meanwhile(2, lambda: begun.set() or "done")
    assert begun.wait(10)
    assert "done" == wait()


def test_a_single_thread_does_it_at_once() -> None:
    begun: list[object] = []
    wait = meanwhile(1, lambda: begun.append(current_thread()))
    assert [current_thread()] == begun
    wait()
    assert [current_thread()] == begun


@pytest.mark.parametrize("threads", [1, 2])
def test_what_fails_meanwhile_is_raised_to_whoever_waits(threads: int) -> None:
    wait = meanwhile(threads, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        wait()
