"""Whose requests hang leaves threads to others, and the others' order to themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from api.reader_lane import ReaderLane

LONG = 20


@dataclass(eq=False)
class Asked:
    """A request that has a thread from ``begun`` on, until it is let go."""

    authorization: str
    queued_since: float = 0.0
    gives_back: Callable[[], None] | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def service(self) -> None:
        gives_back, self.gives_back = self.gives_back, None
        self.begun.set()
        self.may_end.wait(LONG)
        assert gives_back is not None
        gives_back()
        self.ended.set()

    def end(self) -> None:
        self.may_end.set()
        assert self.ended.wait(LONG)


class Lane(ReaderLane):
    """Which of the requests are at work is known as soon as they were added."""

    def __init__(self, threads: int, of_one: int) -> None:
        super().__init__(threads, of_one)
        self.asked: list[Asked] = []

    def know(self, **owners: str) -> None:
        """Whose which token is."""
        for token, owner in owners.items():
            self.belongs_to(f"Bearer {token}", owner)

    def ask(self, *tokens: str, queued_since: float = 0.0) -> list[Asked]:
        asked = [Asked(f"Bearer {token}", queued_since) for token in tokens]
        self.asked += asked
        for one in asked:
            self.add_task(one)
        return asked

    def has_given(self, one: Asked) -> bool:
        """A thread is given at once or not at all, and takes a moment to begin."""
        return (one.gives_back is not None or one.begun.is_set()) and one.begun.wait(LONG)


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane(5, 3)
    made.know(a="acme", d="rival")
    yield made
    for one in made.asked:
        one.may_end.set()


def test_one_owner_gets_so_many_threads_and_others_get_the_rest(lane: Lane) -> None:
    hanging = lane.ask("a", "a", "a", "a", "a")
    assert [True, True, True, False, False] == [lane.has_given(one) for one in hanging]
    (other,) = lane.ask("d")
    assert lane.has_given(other)


def test_who_waits_in_line_is_given_a_thread_in_his_turn(lane: Lane) -> None:
    first, _, _, fourth, fifth = lane.ask("a", "a", "a", "a", "a")
    first.end()
    assert fourth.begun.wait(LONG)
    assert not lane.has_given(fifth)
    fourth.end()
    assert fifth.begun.wait(LONG)


def test_tokens_of_one_owner_count_together_once_they_were_let_in(lane: Lane) -> None:
    lane.know(b="acme", c="acme")
    hanging = lane.ask("a", "b", "c", "a")
    assert [True, True, True, False] == [lane.has_given(one) for one in hanging]
    (other,) = lane.ask("d")
    assert lane.has_given(other)


def test_a_token_that_nobody_knows_yet_gets_one_thread(lane: Lane) -> None:
    hanging = lane.ask("new", "new", "newer")
    assert [True, False, True] == [lane.has_given(one) for one in hanging]


def test_what_a_token_holds_when_it_is_let_in_counts_as_its_owners(lane: Lane) -> None:
    hanging = lane.ask("new", "new", "new", "new", "new")
    lane.know(new="acme")
    assert [True, True, True, False, False] == [lane.has_given(one) for one in hanging]
    (other,) = lane.ask("d")
    assert lane.has_given(other)
    first, _, _, fourth, fifth = hanging
    first.end()
    assert fourth.begun.wait(LONG)
    assert not lane.has_given(fifth)


def test_those_of_two_tokens_wait_in_the_order_in_which_they_came(lane: Lane) -> None:
    lane.ask("a", "a", "a")
    late, (_, early) = lane.ask("a", queued_since=3.0), lane.ask("new", "new", queued_since=1.0)
    lane.know(new="acme")
    lane.release(queued_before=2.0)
    assert early.begun.wait(LONG)
    assert not lane.has_given(*late)


def test_who_has_waited_for_too_long_is_let_through_to_be_told_so(lane: Lane) -> None:
    lane.ask("a", "a", "a")
    early, late = lane.ask("a", queued_since=1.0) + lane.ask("a", queued_since=2.0)
    lane.release(queued_before=1.5)
    assert early.begun.wait(LONG)
    assert not lane.has_given(late)


def test_a_thread_alone_is_everybodys() -> None:
    lane = Lane(1, 1)
    first, second = lane.ask("a", "b")
    assert lane.has_given(first)
    first.end()
    assert second.begun.wait(LONG)
    second.end()


def test_nothing_is_kept_of_those_who_have_been_answered(lane: Lane) -> None:
    asked = lane.ask("a", "a", "a", "a", "new", "new")
    lane.know(new="acme")
    for one in asked:
        one.end()
    assert not lane._groups
