"""Ways to cancel, and one end to all of them; Flower's is with the end-to-end tests."""

from __future__ import annotations

from tests.harness.ground import Ground
from tests.scenarios import cancels


def test_however_it_is_cancelled_one_chain_takes_it_back_and_paying_stops(ground: Ground) -> None:
    cancels.cancelled(ground, "api", "revoke", "terminate")


def test_a_cancel_outlives_a_restart_of_every_worker(ground: Ground) -> None:
    # Celery forgets with the worker what was revoked by a stamp, or by a task's id.
    cancels.cancelled(ground, "stamp", "task id", restarting=True)
