"""Requests that wait for a bot to change: taken in, looked for, and run again."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask

from api.waiting import ENVIRON_KEY, Chance, Parked, WaitingRoom, is_run_again, wait_until
from migrations.model.bots import Bot
from migrations.model.errors import StateStoreUnavailable
from tests.fakes.world import World

SECONDS = 30.0


@dataclass(eq=False)
class Guest:
    went_on: threading.Event = field(default_factory=threading.Event)
    times: int = 0

    def go_on(self) -> None:
        self.times += 1
        self.went_on.set()


class Looking:
    """What is read of the bots; how often, and for whom."""

    def __init__(self) -> None:
        self.bot = World(0).bot
        self.asked: list[set[str]] = []
        self.fault: Exception | None = None

    def __call__(self, bot_ids: Collection[str]) -> Mapping[str, Bot]:
        self.asked.append(set(bot_ids))
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return {"bot": self.bot} if "bot" in bot_ids else {}


@pytest.fixture
def looking() -> Looking:
    return Looking()


@pytest.fixture
def room(looking: Looking) -> WaitingRoom:
    return WaitingRoom(looking, places=2)


def parked(until: Any = lambda bot: False, *, seconds: float = SECONDS, of: str = "bot") -> Parked:
    return Parked(of, until, time.monotonic() + seconds)


def test_whoever_waits_goes_on_when_the_condition_holds(room: WaitingRoom) -> None:
    holds = threading.Event()
    guest, other = Guest(), Guest()
    room.take_in(other, parked())
    room.take_in(guest, parked(lambda bot: holds.is_set()))
    holds.set()
    assert guest.went_on.wait(SECONDS)
    assert (1, 0, 1) == (guest.times, other.times, len(room))


def test_whoever_waits_holds_nothing_of_the_run_that_has_ended(room: WaitingRoom) -> None:
    waits = parked()
    try:
        raise waits
    except Parked as raised:
        room.take_in(Guest(), raised)
    assert None is waits.__traceback__


def test_all_bots_that_are_waited_for_are_read_at_once(room: WaitingRoom, looking: Looking) -> None:
    first, second = Guest(), Guest()
    room.take_in(second, parked(lambda bot: False, of="gone"))
    room.take_in(first, parked(lambda bot: True))
    assert first.went_on.wait(SECONDS)
    assert second.went_on.wait(SECONDS), "a bot that is gone is no more waited for"
    assert {"bot", "gone"} == looking.asked[0]


def test_whoever_has_waited_long_enough_goes_on(room: WaitingRoom) -> None:
    guest = Guest()
    room.take_in(guest, parked(seconds=0))
    assert guest.went_on.wait(SECONDS)
    assert 0 == len(room)


def test_who_is_overdue_is_not_kept_by_a_look_that_hangs(looking: Looking) -> None:
    looks, goes_on = threading.Event(), threading.Event()

    def hang(bot_ids: Collection[str]) -> Mapping[str, Bot]:
        looks.set()
        goes_on.wait(SECONDS)
        return {}

    room = WaitingRoom(hang, places=2)
    first, overdue = Guest(), Guest()
    room.take_in(first, parked())
    assert looks.wait(SECONDS)
    room.take_in(overdue, parked(seconds=0))
    room.release_overdue()
    assert (1, 0) == (overdue.times, first.times)
    goes_on.set()


@pytest.mark.parametrize("fault", [StateStoreUnavailable(), ZeroDivisionError()])
def test_a_look_that_fails_is_repeated(
    room: WaitingRoom, looking: Looking, fault: Exception
) -> None:
    looking.fault = fault
    guest = Guest()
    room.take_in(guest, parked(lambda bot: True))
    assert guest.went_on.wait(SECONDS)
    assert 2 == len(looking.asked)


def test_a_condition_that_crashes_lets_its_request_meet_what_is_wrong(room: WaitingRoom) -> None:
    guest, other = Guest(), Guest()
    room.take_in(guest, parked(lambda bot: 1 / 0 > 1))
    room.take_in(other, parked(lambda bot: True))
    assert guest.went_on.wait(SECONDS)
    assert other.went_on.wait(SECONDS)


def test_whose_client_has_hung_up_is_forgotten(room: WaitingRoom) -> None:
    guest, other = Guest(), Guest()
    room.take_in(guest, parked(lambda bot: True))
    assert room.let_go(guest)
    assert not room.let_go(guest)
    room.take_in(other, parked(lambda bot: True))
    assert other.went_on.wait(SECONDS)
    assert 0 == guest.times


def test_a_room_that_closes_lets_all_go_on_and_takes_nobody_in(room: WaitingRoom) -> None:
    guest, late = Guest(), Guest()
    room.take_in(guest, parked())
    room.close()
    room.take_in(late, parked())
    assert (1, 1, False) == (guest.times, late.times, room.has_place())


def test_a_chance_ends_where_its_time_the_places_or_the_process_do(room: WaitingRoom) -> None:
    assert Chance(room).is_left(1)
    assert not Chance(room).is_left(0)
    for _ in range(2):
        room.take_in(Guest(), parked())
    assert not Chance(room).is_left(1)


def test_the_time_of_a_request_is_that_of_its_first_run(room: WaitingRoom) -> None:
    chance = Chance(room)
    assert chance.is_left(SECONDS)
    deadline = chance.deadline
    assert chance.is_left(2 * SECONDS)
    assert deadline == chance.deadline


def test_a_run_that_is_to_wait_leaves_no_answer_and_is_known_when_it_comes_again(
    room: WaitingRoom,
) -> None:
    app = Flask(__name__)
    told: list[BaseException | None] = []
    app.teardown_request(told.append)
    app.after_request(lambda response: pytest.fail("it was answered"))
    app.register_error_handler(Exception, lambda error: ("handled", 500))

    @app.get("/")
    def wait() -> str:
        wait_until("bot", lambda bot: False, SECONDS)
        return "answered"

    chance = Chance(room)
    with pytest.raises(Parked) as ended:
        app.test_client().get("/", environ_overrides={ENVIRON_KEY: chance})
    assert [ended.value] == told
    assert (chance.deadline, "bot") == (ended.value.deadline, ended.value.bot_id)
    with app.test_request_context("/", environ_overrides={ENVIRON_KEY: chance}):
        assert is_run_again()


def test_without_a_server_nothing_waits() -> None:
    with Flask(__name__).test_request_context("/", headers={ENVIRON_KEY: "a client's"}):
        wait_until("bot", lambda bot: False, SECONDS)
        assert not is_run_again()
