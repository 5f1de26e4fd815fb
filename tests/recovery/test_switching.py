"""Readers who take the pair from PostgreSQL, and writers who follow it."""

from __future__ import annotations

from tests.harness.ground import Ground
from tests.scenarios import switching, way_back


def test_readers_of_the_pair_never_meet_a_wrong_one_while_it_is_switched_back_and_forth(
    ground: Ground,
) -> None:
    switching.back_and_forth(ground.servers, ground.milvus, switches=12, readers=8)


def test_writes_since_the_switch_survive_the_way_back_and_its_own_way_back(
    ground: Ground,
) -> None:
    way_back.there_and_back(ground, 2.0)


def test_a_switch_back_that_comes_first_survives_the_death_of_its_workers_with_all_writes(
    ground: Ground,
) -> None:
    way_back.killed_on_the_way_back_at_once(
        ground, "finalization.after_switch", "sweep.before_apply", "finalization.before_switch"
    )
