"""Workers that are asked to end; and those that stand still, are replaced, and come back."""

from __future__ import annotations

import pytest

from tests.harness.ground import Ground
from tests.scenarios import operating, zombies


@pytest.mark.parametrize("point", ["data_migration.before_call", "verification.before_run"])
def test_a_worker_that_is_asked_to_end_puts_down_what_it_waits_with(
    ground: Ground, point: str
) -> None:
    operating.ended_while_waiting(ground, point)


@pytest.mark.parametrize("point", ["batch.before_upsert", "finalization.before_switch"])
def test_a_worker_that_comes_back_finds_its_epoch_gone_and_does_no_harm(
    ground: Ground, point: str
) -> None:
    zombies.stopped_at(ground, point)


def test_a_late_alias_change_is_put_right(ground: Ground) -> None:
    zombies.late_alias_change(ground)
