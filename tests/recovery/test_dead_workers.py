"""Workers that die in the middle of something."""

from __future__ import annotations

from tests.harness.ground import Ground
from tests.scenarios import deaths


def test_migrations_survive_the_death_of_their_workers_at_any_moment(ground: Ground) -> None:
    deaths.killed_at(
        ground, "data_migration.before_call", "verification.before_run", "finalization.after_switch"
    )


def test_what_a_killed_batch_had_stored_is_not_paid_for_again(ground: Ground) -> None:
    deaths.killed_between_storing_and_marking(ground)


def test_a_compensation_survives_the_death_of_its_worker(ground: Ground) -> None:
    deaths.killed_while_undoing(ground, "new_collection_creation.before_undo")
