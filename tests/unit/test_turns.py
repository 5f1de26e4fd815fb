"""Turns of requests that may hang: so many at once, and so many of one owner."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from migrations.model.errors import TooManyAtOnce
from migrations.process.turns import Turns


def test_one_owner_does_not_take_all_turns() -> None:
    turns = Turns(at_once=3, of_one_owner=2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(turns.one("acme"))
        with pytest.raises(TooManyAtOnce, match="2 of your requests"), turns.one("acme"):
            pass
        with turns.one("rival"):
            pass


def test_all_together_have_so_many_turns() -> None:
    turns = Turns(at_once=2, of_one_owner=2)
    with (
        turns.one("acme"),
        turns.one("rival"),
        pytest.raises(TooManyAtOnce, match="Too many requests"),
        turns.one("other"),
    ):
        pass


def test_a_turn_is_given_back_however_it_ends() -> None:
    turns = Turns(at_once=1, of_one_owner=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.one("acme"):
            raise ZeroDivisionError
