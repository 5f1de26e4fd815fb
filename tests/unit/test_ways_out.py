"""Whatever leads to ``needs_operator`` has a way out: mend the cause, repair, migrate again.

An undo fails only in new collection creation, data migration and verification, because
no other undo does anything; what each of them calls is refused here, in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from migrations.model.errors import VectorStoreRefused
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from tests.fakes.world import ALIAS, OWNER, SOURCE, World

#: More often than anything is tried again.
FOR_EVER = 1000


@dataclass(frozen=True)
class Cause:
    """What an undo meets, and how an operator has it away; both are told the target."""

    happen: Callable[[World, str], None]
    mend: Callable[[World, str], None]
    #: In this phase the run is cancelled.
    cancelled_in: Phase = Phase.VERIFICATION
    #: Whether what was paid for is kept for the next run.
    hold_hours: float = 24


def refuse(method: str) -> Callable[[World, str], None]:
    """Milvus refuses the call, because of a missing privilege for instance."""
    return lambda world, _: world.vectors.fail(method, VectorStoreRefused(), FOR_EVER)


def allow(world: World, _: str) -> None:
    world.vectors.recover()


def drop_by_hand(world: World, target: str) -> None:
    world.vectors.recover()
    world.vectors.drop(target)


def an_alias(world: World, target: str) -> None:
    world.vectors.point_alias("somebody_elses", target)


def break_method(owner: str, method: str, cancelled_in: Phase = Phase.VERIFICATION) -> Cause:
    """Something unforeseen in PostgreSQL's or Redis' part, until a new version is there."""

    def happen(world: World, _: str) -> None:
        def fail(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        setattr(getattr(world, owner), method, fail)

    def mend(world: World, _: str) -> None:
        delattr(getattr(world, owner), method)

    return Cause(happen, mend, cancelled_in)


CAUSES = {
    "the tag is refused": Cause(refuse("owner_tag"), allow),
    "the aliases are refused": Cause(refuse("aliases_of"), allow),
    "counting is refused": Cause(refuse("count"), allow),
    "counting is refused, dropped by hand": Cause(refuse("count"), drop_by_hand),
    "releasing is refused": Cause(refuse("release"), allow),
    "dropping is refused": Cause(refuse("drop"), allow, hold_hours=0),
    "dropping is refused, dropped by hand": Cause(refuse("drop"), drop_by_hand, hold_hours=0),
    "dropping is refused before anything was paid": Cause(
        refuse("drop"), allow, cancelled_in=Phase.DATA_MIGRATION
    ),
    "an alias": Cause(an_alias, lambda world, _: world.vectors.drop_alias("somebody_elses")),
    "an alias, dropped by hand": Cause(
        an_alias,
        lambda world, target: [
            world.vectors.drop_alias("somebody_elses"),
            world.vectors.drop(target),
        ].clear(),
    ),
    "keeping": break_method("store", "keep_target"),
    "the drop's lock": break_method("store", "lock_for_drop"),
    "what was written": break_method("store", "forget_written"),
    "the snapshot": break_method("store", "forget_snapshot", Phase.FINALIZATION),
    "the checkpoints": break_method("checkpoints", "forget"),
}


def undone_in_vain(cause: Cause) -> tuple[World, Migration]:
    world = World(settings={"hold_hours": cause.hold_hours})
    migration = world.start_at(cause.cancelled_in, max_retries=0)
    cause.happen(world, migration.target_collection)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert Status.NEEDS_OPERATOR == world.now(migration).status, world.now(migration).warnings
    return world, migration


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_a_cause_that_was_mended_lets_repair_end_well_and_the_bot_move_on(cause: Cause) -> None:
    world, migration = undone_in_vain(cause)
    cause.mend(world, migration.target_collection)
    world.system.repair(migration.id)
    world.deliver()
    repaired = world.now(migration)
    assert (Status.ROLLED_BACK, {}) == (repaired.status, repaired.undo_errors)
    assert Status.COMPLETED == world.complete().status
    assert world.texts_of(SOURCE) == world.texts_of(world.bot.live.collection)


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_a_cause_that_is_still_there_is_told_again_and_repaired_later(cause: Cause) -> None:
    world, migration = undone_in_vain(cause)
    told = world.now(migration).undo_errors
    world.system.repair(migration.id)
    world.deliver()
    assert Status.NEEDS_OPERATOR == world.now(migration).status
    assert told == world.now(migration).undo_errors
    cause.mend(world, migration.target_collection)
    world.system.repair(migration.id)
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status


# --- what nobody could mend does not lead there -----------------------------------------


def registered(world: World, target: str) -> None:
    """As before it was refused."""
    live = replace(world.bot.live, collection=target)
    world.store._bots["other"] = replace(world.bot, bot_id="other", alias="other", live=live)


def another_tag(world: World, target: str) -> None:
    world.vectors._collections[target].owner_tag = "reembed:other"


def registered_meanwhile(world: World, target: str) -> None:
    world.vectors.before("count", lambda: registered(world, target))


@pytest.mark.parametrize(
    ("become", "at"),
    [
        (registered, Phase.DATA_MIGRATION),
        (registered, Phase.VERIFICATION),
        (another_tag, Phase.DATA_MIGRATION),
        (another_tag, Phase.VERIFICATION),
        (registered_meanwhile, Phase.VERIFICATION),  # between looking at it and keeping it
    ],
)
def test_a_target_that_is_somebodys_is_let_go_with_a_warning(
    become: Callable[[World, str], None], at: Phase
) -> None:
    world = World(settings={"hold_hours": 24})
    migration = world.start_at(at)
    become(world, migration.target_collection)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    undone = world.now(migration)
    assert Status.ROLLED_BACK == undone.status
    assert "it was left as it is" in undone.warnings[-1]
    assert world.vectors.exists(migration.target_collection)
    assert [] == world.store.kept_of("bot")
    assert Status.COMPLETED == world.complete().status


def test_a_run_whose_target_became_a_bots_is_turned_round_to_its_end() -> None:
    """The switch is refused; before, repair led to needs_operator again and again."""
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    with world.at(
        "finalization.before_switch", lambda: registered(world, migration.target_collection)
    ):
        world.settle()
    undone = world.now(migration)
    assert ("source-changed", Status.ROLLED_BACK) == ((undone.error or {})["code"], undone.status)
    assert SOURCE == world.vectors.resolve_alias(ALIAS)
