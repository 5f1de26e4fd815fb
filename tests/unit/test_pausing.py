"""A run that is paused before its switch: nothing is undone, nothing is paid twice, it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from devstack.provider import tokens_of
from migrations.model.bots import Caller
from migrations.model.errors import (
    AlreadySwitched,
    MigrationInProgress,
    MigrationNotFound,
    NotSteerable,
    SwitchInProgress,
)
from migrations.model.runs import Migration, Step
from migrations.model.states import Phase, Status
from tests.fakes.world import OWNER, SOURCE, World, kill

TEXTS = 12
BEFORE_SWITCH = (
    Phase.VALIDATION,
    Phase.BACKUP_CREATION,
    Phase.NEW_COLLECTION_CREATION,
    Phase.DATA_MIGRATION,
    Phase.VERIFICATION,
    Phase.FINALIZATION,
)


def pause(world: World, migration: Migration, reason: str | None = None) -> Migration:
    return world.system.pause(OWNER, migration.id, reason)


def nothing() -> None:
    pass


def resume(world: World, migration: Migration) -> Migration:
    return world.system.resume(OWNER, migration.id)


def paid_to_move(world: World, migration: Migration) -> int:
    """Tokens for batches and catching up; validation and verification ask for samples."""
    purposes = world.store.tokens_by_purpose(migration.id)
    return purposes["data_migration"] + purposes.get("catch_up", 0)


#: What each text costs once.
ONCE = sum(tokens_of(f"text {i}") for i in range(TEXTS))


def paused_during_a_call(world: World, migration: Migration, text: str) -> None:
    """Somebody pauses it while the new model is asked for ``text``, once."""

    def heard(texts: Sequence[str]) -> None:
        if text in texts:
            world.embedders.on_embed = None
            world.elsewhere(lambda: pause(world, migration))

    world.embedders.on_embed = heard


def completes(world: World, migration: Migration) -> Migration:
    world.settle()
    done = world.now(migration)
    assert Status.COMPLETED == done.status, done.error
    assert TEXTS == world.vectors.count(done.target_collection)
    return done


@pytest.mark.parametrize("phase", BEFORE_SWITCH)
def test_a_paused_run_is_nobodys_work_in_any_phase_and_goes_on_from_there(phase: Phase) -> None:
    world = World(TEXTS)
    migration = world.start_at(phase)
    paused = pause(world, migration)
    assert Status.PAUSED == paused.status
    before = world.embedders.calls
    for _ in range(3):
        world.deliver()
        world.look_later()
    assert (Status.PAUSED, paused.epoch) == (world.now(migration).status, paused.epoch)
    assert before == world.embedders.calls
    assert paused.completed_phases == world.now(migration).completed_phases
    resume(world, migration)
    completes(world, migration)


def test_a_paused_run_says_by_whom_since_when_and_why() -> None:
    world = World()
    migration = pause(world, world.start_at(Phase.DATA_MIGRATION), "The day's questions come.")
    assert OWNER.owner in (migration.waiting_for or "")
    assert "The day's questions come." in (migration.waiting_for or "")
    paused = migration.controls["paused"]
    assert (OWNER.owner, "The day's questions come.") == (paused["by"], paused["reason"])
    (told,) = [event for event in world.store.events(migration.id) if event.name == "paused"]
    assert "The day's questions come." == told.detail["reason"]


def test_its_deadline_stands_still() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, timeout_seconds=60)
    world.clock.sleep(20)
    left = migration.deadline_at - world.clock.now()
    pause(world, migration)
    world.clock.sleep(7 * 24 * 3600)
    world.look_later()
    assert Status.PAUSED == world.now(migration).status
    resumed = resume(world, migration)
    assert abs(resumed.deadline_at - world.clock.now() - left) < timedelta(seconds=1)
    completes(world, migration)


def test_batches_that_are_done_are_not_planned_or_embedded_again() -> None:
    world = World(TEXTS)
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.deliver(before="migrations.batch")
    world.work(world.queue.pop(0))
    world.work(world.queue.pop(0))
    pause(world, migration)
    resume(world, migration)
    completes(world, migration)
    steps = [e.detail["step"] for e in world.store.events(migration.id) if e.name == "step_taken"]
    assert 1 == steps.count("planning")
    assert ONCE == paid_to_move(world, migration)


def test_a_batch_stores_what_it_has_paid_for_when_it_is_paused_meanwhile() -> None:
    world = World(TEXTS)
    migration = world.start()
    world.deliver(before="migrations.batch")
    paused_during_a_call(world, migration, "text 0")
    world.deliver()
    assert Status.PAUSED == world.now(migration).status
    assert 3 == world.vectors.count(migration.target_collection)
    resume(world, migration)
    completes(world, migration)
    assert ONCE == paid_to_move(world, migration)


def test_a_batch_of_several_requests_keeps_those_that_were_answered() -> None:
    world = World(TEXTS)
    world.embedders.max_inputs_per_request = 2
    migration = world.start(batch_size=6)
    world.deliver(before="migrations.batch")
    with world.at("data_migration.before_call", nothing, lambda: pause(world, migration)):
        world.deliver()
    assert Status.PAUSED == world.now(migration).status
    assert 2 == world.vectors.count(migration.target_collection)
    resume(world, migration)
    completes(world, migration)
    assert ONCE == paid_to_move(world, migration)


def test_catching_up_stores_what_it_has_paid_for_when_it_is_paused_meanwhile() -> None:
    world = World(TEXTS)
    migration = world.start()
    world.deliver(before="migrations.catch_up")
    world.write("new", "written meanwhile")
    paused_during_a_call(world, migration, "written meanwhile")
    world.deliver()
    assert Status.PAUSED == world.now(migration).status
    assert "new" in world.texts_of(migration.target_collection)
    resume(world, migration)
    assert Step.CATCHING_UP == world.now(migration).step
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert ONCE + tokens_of("written meanwhile") == paid_to_move(world, migration)


def test_a_worker_that_dies_while_it_is_paused_costs_its_own_batch_alone() -> None:
    world = World(TEXTS)

    def pause_and_die() -> None:
        pause(world, migration)
        kill()

    migration = world.start()
    with world.at("batch.before_upsert", pause_and_die):
        world.deliver()
    assert Status.PAUSED == world.now(migration).status
    resume(world, migration)
    completes(world, migration)
    batch = sum(tokens_of(f"text {i}") for i in range(3))
    assert ONCE + batch == paid_to_move(world, migration)


def test_a_run_that_is_resumed_waits_for_batches_that_still_store() -> None:
    world = World(TEXTS)
    migration = world.start()
    world.deliver(before="migrations.batch")

    def pause_and_resume() -> None:
        pause(world, migration)
        resume(world, migration)

    with world.at("batch.before_upsert", pause_and_resume):
        world.work(world.queue.pop(0))
    completes(world, migration)
    assert ONCE == paid_to_move(world, migration)


def test_nobody_goes_on_while_a_batch_of_before_the_pause_is_still_at_work() -> None:
    world = World(TEXTS)
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.deliver(before="migrations.batch")
    before = world.now(migration).epoch
    pause(world, migration)
    resume(world, migration)
    world.queue.clear()
    begun = world.clock.monotonic()
    with world.checkpoints.lease(migration.id, before, 0, 20):
        world.deliver(before="migrations.batch")
    assert world.clock.monotonic() - begun >= 20
    completes(world, migration)


def test_pausing_twice_and_resuming_twice_are_answered_like_once() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    first = pause(world, migration, "Lunch.")
    assert first == pause(world, migration, "Another reason.")
    resumed = resume(world, migration)
    assert resumed.epoch == resume(world, migration).epoch
    completes(world, migration)
    assert Status.COMPLETED == resume(world, migration).status
    told = world.told(migration)
    assert (1, 1) == (told.count("paused"), told.count("resumed"))


def test_a_run_can_be_paused_again_and_again() -> None:
    world = World()
    migration = world.start()
    for phase in BEFORE_SWITCH:
        world.deliver(before=f"migrations.phase.{phase.value}")
        pause(world, migration)
        world.deliver()
        resume(world, migration)
    completes(world, migration)


@pytest.mark.parametrize("take_back", ["rollback", "cancel"])
def test_a_paused_run_can_be_taken_back(take_back: str) -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    pause(world, migration)
    if take_back == "rollback":
        world.system.rollback(OWNER, migration.id)
    else:
        world.system.cancel(OWNER, "bot")
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert SOURCE == world.bot.live.collection
    with pytest.raises(NotSteerable, match="rolled_back"):
        resume(world, migration)


def test_no_other_run_of_the_bot_starts_while_one_is_paused() -> None:
    world = World()
    pause(world, world.start_at(Phase.DATA_MIGRATION))
    with pytest.raises(MigrationInProgress):
        world.start()


def test_a_reverse_run_can_be_paused() -> None:
    world = World()
    world.complete()
    migration = world.store.latest("bot")
    assert migration is not None
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver(before="migrations.phase.verification")
    pause(world, back)
    world.deliver()
    assert Status.PAUSED == world.now(back).status
    resume(world, back)
    world.settle()
    assert Status.COMPLETED == world.now(back).status
    assert SOURCE == world.bot.live.collection


def test_a_pause_that_comes_while_the_switch_begins_is_refused_and_the_switch_completes() -> None:
    world = World()
    refused: list[Exception] = []

    def too_late() -> None:
        with pytest.raises(SwitchInProgress) as refusal:
            pause(world, migration)
        refused.append(refusal.value)

    with world.at("finalization.before_switch", too_late):
        migration = world.start()
        world.settle()
    assert 1 == len(refused)
    assert Status.COMPLETED == world.now(migration).status
    with pytest.raises(AlreadySwitched):
        pause(world, migration)


def test_a_pause_that_comes_just_before_the_switch_begins_holds_it() -> None:
    world = World()
    with world.at("finalization.before_intent", lambda: pause(world, migration)):
        migration = world.start()
        world.deliver()
    assert Status.PAUSED == world.now(migration).status
    assert SOURCE == world.bot.live.collection
    resume(world, migration)
    completes(world, migration)


def test_a_run_that_waits_for_a_decision_is_not_paused() -> None:
    world = World()
    migration = world.complete(postpone=True)
    with pytest.raises(NotSteerable, match="waits before its switch"):
        pause(world, migration)
    with pytest.raises(NotSteerable):
        resume(world, migration)


def test_a_run_that_is_being_undone_is_not_paused() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.system.cancel(OWNER, "bot")
    with pytest.raises(NotSteerable, match="rolling_back"):
        pause(world, migration)


def test_another_owner_can_neither_pause_nor_resume() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    for act in (world.system.pause, world.system.resume):
        with pytest.raises(MigrationNotFound):
            act(Caller("somebody"), migration.id)
