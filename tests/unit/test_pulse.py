"""Saying that work goes on, and hearing when it must stop."""

from __future__ import annotations

import threading
import time

import pytest

from migrations.model.errors import StateStoreUnavailable, Superseded
from migrations.process import pulse
from migrations.process.pulse import Beat, Pulse


class Moment:
    """The monotonic clock, in a test's hand; a machine that has just been started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr(pulse.time, "monotonic", lambda: self.seconds)


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Moment:
    return Moment(monkeypatch)


def beat_of(answers: list[bool], every_seconds: float = 3.0) -> Beat:
    return Beat(lambda: answers.pop(0), every_seconds)


def test_work_asks_before_it_begins_even_on_a_machine_just_started(moment: Moment) -> None:
    with pytest.raises(Superseded):
        beat_of([False]).must_go_on()


def test_an_answer_is_believed_for_twice_the_interval(moment: Moment) -> None:
    answers = [True, False]
    beat = beat_of(answers)
    beat.must_go_on()
    moment.seconds = 6.0
    beat.must_go_on()
    assert [False] == answers


def test_a_zombie_asks_before_it_acts(moment: Moment) -> None:
    beat = beat_of([True, False])
    beat.must_go_on()
    moment.seconds = 120.0
    with pytest.raises(Superseded):
        beat.must_go_on()


def test_work_that_was_stopped_once_stays_stopped(moment: Moment) -> None:
    beat = beat_of([False, True])
    for _ in range(2):
        with pytest.raises(Superseded):
            beat.must_go_on()


def test_a_database_that_is_away_stops_nothing(moment: Moment) -> None:
    def away() -> bool:
        raise StateStoreUnavailable

    Beat(away, 3.0).must_go_on()


def test_work_that_may_not_begin_is_not_entered() -> None:
    with pytest.raises(Superseded), Pulse(3.0).keep_alive("key", lambda: False):
        raise AssertionError("entered")


def test_threads_with_one_key_share_one_beat() -> None:
    beats = Pulse(3.0)
    with (
        beats.keep_alive("key", lambda: True) as one,
        beats.keep_alive("key", lambda: True) as other,
    ):
        assert one is other
    with beats.keep_alive("key", lambda: True) as later:
        assert later is not one


def test_it_is_said_again_and_again_while_the_work_goes_on() -> None:
    said = threading.Semaphore(0)

    def say() -> bool:
        said.release()
        return True

    with Pulse(0.01).keep_alive("key", say):
        assert all(said.acquire(timeout=5) for _ in range(5))


def test_nothing_is_said_once_the_work_has_been_left() -> None:
    saying, go_on = threading.Event(), threading.Event()
    said_at_the_end: list[bool] = []

    def say() -> bool:
        if threading.current_thread().name == "reembed-pulse":
            saying.set()
            go_on.wait(5)
            said_at_the_end.append(True)
        return True

    with Pulse(0.01).keep_alive("key", say):
        assert saying.wait(5)
        threading.Timer(0.2, go_on.set).start()
    assert [True] == said_at_the_end, "left while it was being said"
    time.sleep(0.1)
    assert [True] == said_at_the_end, "said again after it was left"


def test_a_beat_that_breaks_does_not_silence_the_others() -> None:
    said = threading.Semaphore(0)
    broken = threading.Event()

    def break_down() -> bool:
        if threading.current_thread().name == "reembed-pulse":
            broken.set()
            raise RuntimeError("a slip")
        return True

    def say() -> bool:
        said.release()
        return True

    beats = Pulse(0.01)
    with beats.keep_alive("first", break_down), beats.keep_alive("second", say):
        assert broken.wait(5)
        assert all(said.acquire(timeout=5) for _ in range(5))
