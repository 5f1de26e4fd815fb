"""Whoever writes through us loses nothing when workers die, and is never refused."""

from __future__ import annotations

from tests.harness.ground import Ground
from tests.scenarios import cooperating


def test_one_who_dies_between_writing_and_telling_has_it_written_again(ground: Ground) -> None:
    cooperating.killed_at(ground, "journal.before_advance")


def test_of_a_key_that_is_written_again_and_again_at_the_switch_the_last_write_counts(
    ground: Ground,
) -> None:
    cooperating.same_key_at_the_switch(ground)
