"""A run that waits before its switch: held back, kept, kept up to date, accepted or taken back."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.model.bots import Caller
from migrations.model.errors import (
    InvalidConfiguration,
    MigrationInProgress,
    MigrationNotFound,
    NotAccepted,
    NotWaiting,
)
from migrations.model.runs import POSTPONED, Migration
from migrations.model.states import Phase, Status
from tests.fakes.world import OWNER, SOURCE, World, kill
from tests.unit.test_neighbourhoods import Kin

WHY = "Looked at it: it is as it should be."


def of_teams() -> World:
    """The new model reads a column with few values; whatever it finds is less than wanted."""
    return World(80, embedders=Kin(lambda text: f"team {len(text)}"))


def held_back(world: World, **changes: Any) -> Migration:
    migration = world.complete(**changes)
    assert Status.WAITING == migration.status, migration.error
    return migration


def test_a_failed_gate_keeps_the_target_and_waits_for_a_person() -> None:
    world = of_teams()
    migration = held_back(world)
    assert {"neighbourhood_overlap", "distinct_vectors", "recall"} <= set(
        migration.decision["waits_for"]
    )
    assert "accept" in (migration.waiting_for or "")
    assert SOURCE == world.bot.live.collection
    assert 80 == world.vectors.count(migration.target_collection)
    assert migration.verification is not None


def test_nobody_drives_a_run_that_waits_and_no_deadline_ends_it() -> None:
    world = of_teams()
    migration = held_back(world, timeout_seconds=60)
    world.clock.sleep(7 * 24 * 3600)
    for _ in range(3):
        world.look_later()
        world.deliver()
    assert migration.epoch == world.now(migration).epoch
    assert Status.WAITING == world.now(migration).status


def test_no_other_run_of_the_bot_starts_while_one_waits() -> None:
    world = of_teams()
    held_back(world)
    with pytest.raises(MigrationInProgress):
        world.start()


def test_what_is_accepted_with_a_reason_goes_live_with_what_was_written_meanwhile() -> None:
    world = of_teams()
    migration = held_back(world, timeout_seconds=60)
    world.clock.sleep(3600)
    world.write("new", "written while it waited")
    world.system.accept(OWNER, migration.id, WHY)
    world.settle()
    done = world.now(migration)
    assert Status.COMPLETED == done.status, done.error
    assert "written while it waited" == world.texts_of(done.target_collection)["new"]
    accepted = done.decision["accepted"]
    assert (OWNER.owner, WHY) == (accepted["by"], accepted["reason"])
    (told,) = [e for e in world.store.events(done.id) if e.name == "accepted"]
    assert WHY == told.detail["reason"]


def test_a_failed_gate_is_not_accepted_without_a_reason() -> None:
    world = of_teams()
    migration = held_back(world)
    with pytest.raises(NotAccepted):
        world.system.accept(OWNER, migration.id, None)
    assert Status.WAITING == world.now(migration).status


def test_accepting_twice_is_answered_like_once() -> None:
    world = of_teams()
    migration = held_back(world)
    first = world.system.accept(OWNER, migration.id, WHY)
    assert first == world.system.accept(OWNER, migration.id, WHY)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert Status.COMPLETED == world.system.accept(OWNER, migration.id, WHY).status
    assert 1 == world.told(migration).count("accepted")


def test_another_owner_cannot_accept() -> None:
    world = of_teams()
    migration = held_back(world)
    with pytest.raises(MigrationNotFound):
        world.system.accept(Caller("somebody"), migration.id, WHY)


@pytest.mark.parametrize("before", [Phase.DATA_MIGRATION, Phase.VERIFICATION])
def test_a_run_that_does_not_wait_cannot_be_accepted(before: Phase) -> None:
    world = of_teams()
    migration = world.start_at(before)
    with pytest.raises(NotWaiting):
        world.system.accept(OWNER, migration.id, WHY)


def test_a_run_that_waits_is_taken_back_by_a_rollback_and_by_a_cancel() -> None:
    for take_back in ("rollback", "cancel"):
        world = of_teams()
        migration = held_back(world)
        if take_back == "rollback":
            world.system.rollback(OWNER, migration.id)
        else:
            world.system.cancel(OWNER, "bot")
        world.settle()
        assert Status.ROLLED_BACK == world.now(migration).status
        assert not world.vectors.exists(migration.target_collection)
        with pytest.raises(NotWaiting):
            world.system.accept(OWNER, migration.id, WHY)


def test_a_worker_that_dies_while_it_lets_the_run_wait_loses_nothing() -> None:
    world = of_teams()
    with world.at("verification.after_run", kill):
        migration = world.start()
        world.settle()
    assert Status.WAITING == world.now(migration).status


def test_a_worker_that_dies_after_the_decision_does_not_ask_for_it_again() -> None:
    world = of_teams()
    migration = held_back(world)
    with world.at("verification.after_run", kill), world.at("catch_up.before_run", kill):
        world.system.accept(OWNER, migration.id, WHY)
        world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_content_that_is_wrong_fails_an_accepted_run() -> None:
    world = of_teams()
    migration = held_back(world)
    world.system.accept(OWNER, migration.id, WHY)
    world.deliver(before="migrations.phase.verification")
    world.vectors.remove(migration.target_collection, "k003")
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status


# --- postponed -----------------------------------------------------------------


def test_a_postponed_switch_waits_and_goes_on_without_a_reason() -> None:
    world = World()
    migration = held_back(world, postpone=True)
    assert [POSTPONED] == migration.decision["waits_for"]
    world.system.accept(OWNER, migration.id, None)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_a_postponed_target_is_kept_up_to_date_and_tells_how_far_it_was_behind() -> None:
    world = World()
    migration = held_back(world, postpone=True, timeout_seconds=60)
    paid = world.embedders.billed
    for day in range(3):
        world.clock.sleep(24 * 3600)
        for i in range(4):
            world.write(f"new {day} {i}", f"of day {day} number {i}")
        world.settle()
        world.look_later()
        world.settle()
        assert Status.WAITING == world.now(migration).status
        assert 12 + 4 * (day + 1) == world.vectors.count(migration.target_collection)
    progress = world.system.progress(OWNER, migration.id)
    assert (4, 0) == (progress.caught_up_chunks, progress.remaining_chunks)
    assert world.embedders.billed - paid < 12 * 20  # nothing is verified while it waits
    world.system.accept(OWNER, migration.id, None)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_what_is_accepted_in_the_middle_of_a_round_goes_on_from_there() -> None:
    world = World()
    migration = held_back(world, postpone=True)
    world.clock.sleep(24 * 3600)
    world.watchdog.look()
    assert Status.RUNNING == world.now(migration).status
    world.system.accept(OWNER, migration.id, None)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_a_run_that_a_gate_holds_back_is_not_kept_up_to_date_for_money() -> None:
    world = of_teams()
    migration = held_back(world, postpone=True)
    world.clock.sleep(24 * 3600)
    world.watchdog.look()
    assert Status.WAITING == world.now(migration).status


# --- what was asked at the start -------------------------------------------------


def test_lower_gates_need_a_reason_and_higher_ones_none() -> None:
    world = World()
    with pytest.raises(InvalidConfiguration, match="gates_reason"):
        world.start(gates={"recall": 0.1})
    assert Status.COMPLETED == world.complete(gates={"recall": 0.95}).status


def test_gates_of_a_run_are_kept_with_their_reason() -> None:
    world = of_teams()
    none = dict.fromkeys(("neighbourhood_overlap", "distinct_vectors", "recall"), 0.0)
    migration = world.complete(gates=none, gates_reason=WHY)
    assert Status.COMPLETED == migration.status, migration.error
    assert (none, WHY) == (migration.config.gates, migration.config.gates_reason)


def test_a_way_back_is_warned_of_and_not_held_back() -> None:
    world = World(80, embedders=Kin(lambda text: f"{text[::-1]} unlike the text"))
    migration = held_back(world)
    world.system.accept(OWNER, migration.id, WHY)
    world.settle()
    back = world.system.rollback(OWNER, migration.id).migration
    world.settle()
    assert Status.COMPLETED == world.now(back).status, world.now(back).error
    assert any("nearest to a row by stored vectors" in w for w in world.now(back).warnings)
