"""Five ways to cancel, and one end to all of them."""

from __future__ import annotations

import pytest

from tests.harness.ground import Ground
from tests.scenarios import cancels


@pytest.mark.parametrize("way", cancels.WAYS)
def test_however_it_is_cancelled_one_chain_takes_it_back_and_paying_stops(
    ground: Ground, way: str
) -> None:
    cancels.cancelled(ground, way)


def test_a_cancel_outlives_a_restart_of_every_worker(ground: Ground) -> None:
    cancels.cancelled(ground, "stamp", restarting=True)
