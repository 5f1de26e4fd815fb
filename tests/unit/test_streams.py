"""Streams of events: who is told what, and when one ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from api import streams
from api.streams import Stream, StreamRoom, block
from migrations.model.errors import MigrationNotFound, StateStoreUnavailable
from migrations.model.history import Look
from migrations.model.runs import Migration
from migrations.run.history import History
from tests.fakes.world import OWNER, World

SECONDS = 30.0


@dataclass(eq=False)
class Line:
    takes: bool = True
    said: list[str] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)

    def say(self, text: bytes) -> bool:
        self.said.append(text.decode())
        return self.takes

    def hang_up(self) -> None:
        assert not self.hung_up.is_set(), "twice"
        self.hung_up.set()


class Looking:
    """Looks at a run of a world; how often at which, and from which event on."""

    def __init__(self) -> None:
        self.world = World(6)
        self.run: Migration = self.world.start()
        self.history = History(self.world.services)
        self.asked: list[tuple[UUID, int]] = []
        self.fault: Exception | None = None

    def __call__(self, migration_id: UUID, after: int) -> Look:
        self.asked.append((migration_id, after))
        if self.fault is not None:
            raise self.fault
        return self.history.look(migration_id, after)

    def stream(
        self, after: int = 0, *, may: Any = lambda: True, owner: str = OWNER.owner
    ) -> Stream:
        return Stream(self.run.id, after, names, may, owner)


def names(look: Look) -> str:
    return " ".join(event.name for event in look.events)


@pytest.fixture
def looking() -> Looking:
    return Looking()


@pytest.fixture
def room(looking: Looking) -> StreamRoom:
    """Whose rounds a test makes: its own thread sleeps."""
    room = StreamRoom(looking, places=2)
    room._begin_to_watch = lambda: None  # type: ignore[method-assign]
    return room


def test_an_event_is_told_once_to_each_who_watches(room: StreamRoom, looking: Looking) -> None:
    early, late = Line(), Line()
    started = looking.history.events(OWNER, looking.run.id, 0, 1)[0]
    room.take_in(early, looking.stream())
    room.take_in(late, looking.stream(after=started.id))
    room.go_round()
    looking.world.store.begin_phase(looking.run.id, 1, looking.run.phase)
    room.go_round()
    assert ["started", "phase_begun"] == early.said
    assert ["phase_begun"] == late.said
    assert [0, started.id] == [after for _, after in looking.asked], "one look for both"


def test_a_stream_ends_with_its_run(room: StreamRoom, looking: Looking) -> None:
    line = Line()
    room.take_in(line, looking.stream())
    looking.world.deliver()
    room.go_round()
    assert line.said[-1].endswith(" completed")
    assert line.hung_up.is_set()
    assert 0 == len(room)


def test_a_stream_waits_with_a_run_that_waits(room: StreamRoom, looking: Looking) -> None:
    looking.world.deliver()
    looking.run = looking.world.start(model="small", postpone=True)
    looking.world.deliver()
    line = Line()
    room.take_in(line, looking.stream())
    room.go_round()
    assert "waits" in line.said[0]
    assert not line.hung_up.is_set()


def test_who_hears_nothing_for_long_is_told_that_the_stream_lives(
    room: StreamRoom, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line()
    room.take_in(line, looking.stream())
    room.go_round()
    room.go_round()
    assert ["started"] == line.said
    monkeypatch.setattr(streams, "SILENCE_SECONDS", 0.0)
    room.go_round()
    assert line.said[1].startswith(":")


def test_who_takes_nothing_is_hung_up_on(room: StreamRoom, looking: Looking) -> None:
    frozen, other = Line(takes=False), Line()
    room.take_in(frozen, looking.stream())
    room.take_in(other, looking.stream())
    room.go_round()
    assert (True, False) == (frozen.hung_up.is_set(), other.hung_up.is_set())
    assert room.has_place(OWNER.owner)


def test_who_may_not_watch_any_more_is_hung_up_on(
    room: StreamRoom, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LEAVE_SECONDS", 0.0)
    line = Line()
    room.take_in(line, looking.stream(may=lambda: False))
    room.go_round()
    assert line.hung_up.is_set()
    assert [] == line.said


def test_a_store_that_is_away_ends_no_stream(
    room: StreamRoom, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LEAVE_SECONDS", 0.0)

    def nobody_knows() -> bool:
        raise StateStoreUnavailable

    line = Line()
    room.take_in(line, looking.stream(may=nobody_knows))
    looking.fault = StateStoreUnavailable()
    room.go_round()
    looking.fault = None
    room.go_round()
    assert ["started"] == line.said


def test_a_run_that_is_gone_ends_its_streams(room: StreamRoom, looking: Looking) -> None:
    line = Line()
    room.take_in(line, looking.stream())
    looking.fault = MigrationNotFound()
    room.go_round()
    assert line.hung_up.is_set()


def test_a_stream_that_cannot_be_told_keeps_nothing_from_the_others(
    room: StreamRoom, looking: Looking
) -> None:
    broken, other = Line(), Line()
    room.take_in(
        broken, Stream(looking.run.id, 0, lambda look: str(1 / 0), lambda: True, OWNER.owner)
    )
    room.take_in(other, looking.stream())
    room.go_round()
    assert broken.hung_up.is_set()
    assert ["started"] == other.said


def test_a_room_has_no_more_places_than_it_was_given(room: StreamRoom, looking: Looking) -> None:
    first = Line()
    room.take_in(first, looking.stream())
    assert room.has_place(OWNER.owner)
    room.take_in(Line(), looking.stream())
    assert not room.has_place(OWNER.owner)
    assert room.let_go(first)
    assert room.has_place(OWNER.owner)
    assert not room.let_go(first)


def test_one_owner_has_most_of_the_places_and_not_all(looking: Looking) -> None:
    room = StreamRoom(looking, places=5)
    room._begin_to_watch = lambda: None  # type: ignore[method-assign]
    lines = [Line() for _ in range(4)]
    for line in lines:
        assert room.has_place("acme")
        room.take_in(line, looking.stream(owner="acme"))
    assert not room.has_place("acme")
    assert room.has_place("rival")
    room.let_go(lines[0])
    assert room.has_place("acme")


def test_a_room_that_closes_hangs_up_on_all_and_takes_nobody_in(
    room: StreamRoom, looking: Looking
) -> None:
    here, late = Line(), Line()
    room.take_in(here, looking.stream())
    room.close()
    room.take_in(late, looking.stream())
    assert (True, True) == (here.hung_up.is_set(), late.hung_up.is_set())
    assert not room.has_place(OWNER.owner)


def test_a_thread_of_the_room_tells_by_itself(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.01)
    room, line = StreamRoom(looking, places=1), Line()
    looking.world.deliver()
    room.take_in(line, looking.stream())
    assert line.hung_up.wait(SECONDS)
    room.close()


def test_an_event_is_written_as_the_standard_has_it() -> None:
    assert "id: 7\nevent: happened\ndata: {}\n\n" == block("happened", "{}", 7)
    assert "event: note\ndata: one\ndata: two\n\n" == block("note", "one\ntwo")
