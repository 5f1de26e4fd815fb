"""Servers that go away, and answers that get lost."""

from __future__ import annotations

from tests.harness.ground import Ground
from tests.scenarios import operating, outages


def test_a_restart_of_postgresql_is_waited_out(ground: Ground) -> None:
    outages.restarted(ground, "postgres")


def test_a_restart_of_milvus_is_waited_out(ground: Ground) -> None:
    outages.restarted_in_verification(ground)


def test_a_switch_whose_commit_was_not_answered_is_made_once(ground: Ground) -> None:
    outages.commit_reply_lost(ground)


def test_a_deadline_is_kept_when_every_batch_worker_stands_still(ground: Ground) -> None:
    operating.timed_out_while_stuck(ground)
