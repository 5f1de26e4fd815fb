"""Redis forgets, and messages with it."""

from __future__ import annotations

from tests.harness.ground import Ground
from tests.scenarios import messages, redis_losses


def test_a_flushed_redis_costs_no_more_than_the_batches_in_flight(ground: Ground) -> None:
    redis_losses.flushed(ground)


def test_a_redis_that_restarts_empty_ends_no_worker_and_loses_nothing(ground: Ground) -> None:
    redis_losses.restarted_empty(ground)


def test_messages_delivered_again_and_out_of_order_change_nothing(ground: Ground) -> None:
    messages.doubled(ground)
