"""What the status says of the way back while it is open, and when it is not any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from migrations.model import task_names as names
from migrations.model.errors import TransitionRefused, VectorStoreUnavailable
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from tests.contract.state_store_world import World as StateWorld
from tests.contract.state_store_world import undo_all
from tests.fakes.embedders import SMALL
from tests.fakes.world import OWNER, SOURCE, World

HOUR = 3600.0


@pytest.mark.parametrize(("phase", "times"), [("validation", 1), ("verification", 3)])
def test_the_estimate_is_made_of_what_the_last_run_took(phase: str, times: int) -> None:
    world = World()
    world.start()
    with world.at(f"{phase}.after_run", lambda: world.clock.sleep(10)):
        world.deliver()
    back = world.system.status(OWNER, "bot").rollback
    assert times * 10.0 == back.estimate_seconds
    assert back.estimate_basis is not None
    assert "12 chunks" in back.estimate_basis
    assert "on top" in back.estimate_basis


def test_a_later_run_that_was_cancelled_does_not_change_the_estimate() -> None:
    world = World()
    world.start()
    with world.at("verification.after_run", lambda: world.clock.sleep(10)):
        world.deliver()
    before = world.system.status(OWNER, "bot").rollback
    world.start(model="small", dimension=4)
    world.deliver(before=f"migrations.phase.{Phase.DATA_MIGRATION}")
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert before == world.system.status(OWNER, "bot").rollback


def test_without_a_switch_there_is_nothing_to_estimate() -> None:
    back = World().system.status(OWNER, "bot").rollback
    assert (False, None, None) == (back.ready, back.estimate_seconds, back.estimate_basis)


# --- whatever would refuse a rollback is shown, and nothing else is --------------------


def of_the_store(world: World) -> StateWorld:
    return StateWorld(world.store, world.clock.sleep, raise_generation=lambda _: None)


def back_until(world: World, phase: Phase) -> Migration:
    back = world.system.rollback(OWNER, last_switch(world).id).migration
    world.deliver(before=names.phase_task(phase))
    return back


def go_back(world: World) -> None:
    back_until(world, Phase.DATA_MIGRATION)


def fail_to_go_back(world: World) -> None:
    """The reverse run ends, and so does what undoes it."""
    back = back_until(world, Phase.BACKUP_CREATION)
    world.queue.clear()
    undo_all(of_the_store(world), world.now(back), failing=Phase.VALIDATION)
    assert Status.NEEDS_OPERATOR == world.now(back).status


def cancel(world: World) -> None:
    world.system.cancel(OWNER, "bot")
    world.deliver()


def repair(world: World) -> None:
    latest = world.store.latest("bot")
    assert latest is not None
    world.system.repair(latest.id)
    world.deliver()


def start_another_bots(world: World) -> None:
    state = of_the_store(world)
    state.start(state.bot("another"))


def end_another_bots(world: World) -> None:
    for migration in world.driven():
        undo_all(of_the_store(world), migration)


def start_forward(world: World) -> None:
    world.start(model="small", dimension=4)


def seed_again(world: World) -> None:
    world.vectors.seed(SOURCE, [], SMALL.dimension)


def reopen(world: World) -> None:
    """As if the switch had been made now."""
    previous = world.bot.previous
    assert previous is not None
    later = replace(previous, expires_at=world.clock.now() + timedelta(hours=1))
    world.store._bots["bot"] = replace(world.bot, previous=later)


REFUSALS: dict[str, tuple[Callable[[World], object], Callable[[World], object], str]] = {
    "it is being taken back": (go_back, cancel, "is running already"),
    "taking it back has failed": (fail_to_go_back, repair, "reembed repair"),
    "another run of the bot": (start_forward, cancel, "wait for it or cancel it"),
    "as many as may": (start_another_bots, end_another_bots, "The limit of 1 concurrent"),
    "no collection": (lambda world: world.vectors.drop(SOURCE), seed_again, "is gone"),
    "no key": (
        lambda world: world.embedders.without_key("fake"),
        lambda world: world.embedders.keyless.clear(),
        "The previous model cannot be used",
    ),
    "its time is over": (
        lambda world: world.clock.sleep(HOUR + 1),
        reopen,
        "The retention window closed",
    ),
}


def last_switch(world: World) -> Migration:
    switched = world.store.switched_by("bot", world.bot.live.generation)
    assert switched is not None
    return switched


def shown(world: World) -> tuple[bool, tuple[str, ...]]:
    back = world.system.status(OWNER, "bot").rollback
    return back.ready, back.blockers


def refusal(world: World) -> str:
    with pytest.raises(TransitionRefused) as refused:
        world.system.rollback(OWNER, last_switch(world).id)
    return refused.value.message


@pytest.mark.parametrize("what", REFUSALS)
def test_what_refuses_a_rollback_is_the_blocker_that_is_shown_until_it_is_gone(what: str) -> None:
    happens, ends, sentence = REFUSALS[what]
    world = World(settings={"retention_hours": 1, "max_concurrent_migrations": 1})
    world.complete()
    assert (True, ()) == shown(world)
    happens(world)
    ready, blockers = shown(world)
    assert (False, 1) == (ready, len(blockers)), blockers
    assert blockers[0] == refusal(world)
    assert sentence in blockers[0]
    ends(world)
    assert (True, ()) == shown(world)
    assert world.system.rollback(OWNER, last_switch(world).id).created


def test_a_switch_that_is_not_completed_is_a_blocker_until_it_is() -> None:
    world = World()
    world.start_at(Phase.CLEANUP)
    assert (False, (refusal(world),)) == shown(world)
    world.deliver()
    assert (True, ()) == shown(world)


def test_several_blockers_are_shown_and_told_together() -> None:
    world = World()
    world.complete()
    world.vectors.drop(SOURCE)
    world.embedders.without_key("fake")
    ready, blockers = shown(world)
    assert (False, 2) == (ready, len(blockers))
    assert " ".join(blockers) == refusal(world)


def test_an_owner_whose_places_are_taken_is_shown_it_and_refused() -> None:
    world = World(settings={"max_concurrent_migrations": 3, "max_migrations_per_owner": 1})
    world.complete()
    start_another_bots(world)
    ready, (blocker,) = shown(world)
    assert (False, blocker) == (ready, refusal(world))
    assert "of this owner's bots are live, and 1 may be" in blocker


def test_who_comes_too_late_is_not_told_to_wait_for_milvus() -> None:
    world = World(settings={"retention_hours": 1})
    world.complete()
    world.clock.sleep(HOUR + 1)
    world.vectors.fail("exists", VectorStoreUnavailable(), times=1)
    assert "The retention window closed" in refusal(world)


def test_what_was_taken_back_is_refused_and_the_way_back_of_that_is_open() -> None:
    world = World()
    migration = world.complete()
    world.system.rollback(OWNER, migration.id)
    world.deliver()
    with pytest.raises(TransitionRefused):
        world.system.rollback(OWNER, migration.id)
    assert (True, ()) == shown(world)
    assert world.system.rollback(OWNER, last_switch(world).id).created
