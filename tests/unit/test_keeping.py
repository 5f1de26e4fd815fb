"""What a run that is undone has paid for is held, and the next run takes it over."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from migrations.model.config import OverLong
from migrations.model.errors import ForeignCollection, PermanentError
from migrations.model.left_behind import HoldReason
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.phases import new_collection_creation
from migrations.way_back.kept import drop_kept
from tests.fakes.embedders import LARGE
from tests.fakes.world import ALIAS, OWNER, SOURCE, World

HOUR = 3600.0


def cancelled(before: str = "migrations.phase.verification", **settings: float) -> World:
    """A world whose only run was cancelled just before that task."""
    world = World(settings={"hold_hours": 24, **settings})
    world.start()
    world.deliver(before=before)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert Status.ROLLED_BACK == the_run(world).status
    return world


def the_run(world: World) -> Migration:
    latest = world.store.latest("bot")
    assert latest is not None
    return latest


def paid(world: World) -> Counter[str]:
    return Counter(
        {text: n for (model, text), n in world.embedders.embedded.items() if model == LARGE.model}
    )


# --- holding --------------------------------------------------------------------------


def test_a_target_that_was_paid_for_is_held_and_taken_out_of_memory() -> None:
    world = cancelled()
    run = the_run(world)
    (held,) = world.store.kept_of("bot")
    assert run.target_collection == held.collection
    assert (HoldReason.ROLLED_BACK, LARGE, SOURCE, 12) == (
        held.reason,
        held.embedding,
        held.source_collection,
        held.chunks,
    )
    assert timedelta(hours=24) == held.drop_after - held.held_at
    assert not world.vectors.is_loaded(held.collection)
    assert "target_held" in world.told(run)


def test_a_large_target_is_counted_without_being_loaded() -> None:
    world = cancelled(unindexed_rows=0)
    (held,) = world.store.kept_of("bot")
    assert 12 == held.chunks
    assert 0 == world.vectors.calls["load"] + world.vectors.calls["begin_loading"]


def test_a_target_nothing_was_paid_for_is_dropped_at_once() -> None:
    world = cancelled(before="migrations.phase.data_migration")
    assert [SOURCE] == world.vectors.names()
    assert [] == world.store.kept_of("bot")


def test_holding_for_no_time_drops_at_once() -> None:
    world = cancelled(hold_hours=0)
    assert [SOURCE] == world.vectors.names()


def test_a_target_that_failed_verification_is_not_held_to_fail_again() -> None:
    world = World(settings={"hold_hours": 24})
    migration = world.start_at(Phase.VERIFICATION)
    target = migration.target_collection
    world.vectors.put(target, {"pk": "k000", "text": "text 0", "page": 1})
    world.settle()
    assert "verification-failed" == (world.now(migration).error or {})["code"]
    assert [SOURCE] == world.vectors.names()


def test_a_held_target_is_dropped_when_its_time_is_over() -> None:
    world = cancelled()
    name = the_run(world).target_collection
    world.clock.sleep(23 * HOUR)
    assert not drop_kept(world.services, name)
    world.clock.sleep(2 * HOUR)
    assert drop_kept(world.services, name)
    assert [SOURCE] == world.vectors.names()


def test_undoing_twice_holds_once() -> None:
    world = cancelled()
    held = world.store.kept_of("bot")
    world.clock.sleep(HOUR)
    new_collection_creation.undo(world.run_of(the_run(world)))
    assert held == world.store.kept_of("bot")
    assert not world.vectors.is_loaded(held[0].collection)


@pytest.mark.parametrize("refusal", ["alias", "tag"])
def test_what_was_never_dropped_is_never_held_either(refusal: str) -> None:
    world = World(settings={"hold_hours": 24})
    migration = world.start_at(Phase.VERIFICATION)
    name = migration.target_collection
    if refusal == "alias":
        world.vectors.point_alias("somebody_elses", name)
    else:
        world.vectors._collections[name].owner_tag = "somebody's"
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert [] == world.store.kept_of("bot")
    assert world.vectors.exists(name)


# --- taking over ----------------------------------------------------------------------


def test_a_run_that_is_started_again_pays_only_for_what_is_missing() -> None:
    world = World(settings={"hold_hours": 24})
    first = world.start(verify_migration=False)
    world.deliver(before="migrations.batch")
    for _ in range(2):  # of four
        world.work(world.pending().pop(0))
    world.system.cancel(OWNER, "bot")
    world.deliver()
    (held,) = world.store.kept_of("bot")
    assert 6 == held.chunks
    second = world.start(verify_migration=False)
    assert (first.target_collection, True) == (second.target_collection, second.target_adopted)
    world.deliver()
    assert Status.COMPLETED == world.now(second).status
    texts = world.texts_of(SOURCE)
    assert dict.fromkeys(texts.values(), 1) == {text: paid(world)[text] for text in texts.values()}
    assert texts == world.texts_of(world.bot.live.collection)
    assert [] == world.wrongly_embedded(world.bot.live.collection, LARGE)
    assert [] == world.store.kept_of("bot")


def test_what_changed_meanwhile_is_embedded_again_and_what_went_is_deleted() -> None:
    world = cancelled()
    world.write("k000", "changed meanwhile")
    world.vectors.remove(SOURCE, "k001")
    second = world.complete()
    assert second.target_adopted
    assert world.texts_of(SOURCE) == world.texts_of(world.bot.live.collection)
    assert [] == world.wrongly_embedded(world.bot.live.collection, LARGE)


def test_a_run_to_another_model_does_not_take_it_over() -> None:
    world = cancelled()
    second = world.start(model="small", dimension=4)
    assert not second.target_adopted
    assert 1 == len(world.store.kept_of("bot"))


def test_a_run_that_treats_long_texts_otherwise_does_not_take_it_over() -> None:
    world = cancelled()
    assert not world.start(over_long=OverLong.TRUNCATE).target_adopted
    assert 1 == len(world.store.kept_of("bot"))


def test_a_run_from_another_source_does_not_take_it_over() -> None:
    world = cancelled()
    world.complete(model="small", dimension=4)
    assert not world.start().target_adopted


def test_what_is_gone_from_milvus_is_not_taken_over() -> None:
    world = cancelled()
    world.vectors.drop(the_run(world).target_collection)
    assert not world.start().target_adopted


def test_what_is_dropped_while_a_run_is_started_is_made_anew() -> None:
    world = cancelled()
    name = the_run(world).target_collection
    create = world.store.create

    def too_late(*args: object) -> object:
        world.store._held_ones.pop(name, None)
        return create(*args)  # type: ignore[arg-type]  # handed through

    world.store.create = too_late  # type: ignore[method-assign,assignment]  # as above
    second = world.start()
    assert not second.target_adopted
    assert name != second.target_collection


def test_a_run_that_took_over_and_is_cancelled_at_once_puts_it_back() -> None:
    world = cancelled()
    name = the_run(world).target_collection
    second = world.start()
    assert [] == world.store.kept_of("bot")
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert Status.ROLLED_BACK == world.now(second).status
    assert [name] == [held.collection for held in world.store.kept_of("bot")]


def test_the_late_end_of_the_first_run_does_not_touch_what_the_second_took_over() -> None:
    world = cancelled()
    first = the_run(world)
    second = world.start_at(Phase.VERIFICATION)
    assert first.target_collection == second.target_collection
    new_collection_creation.undo(world.run_of(first))
    world.deliver()
    assert Status.COMPLETED == world.now(second).status
    assert second.target_collection == world.vectors.resolve_alias(ALIAS)


def test_a_held_target_of_another_bot_is_never_offered() -> None:
    world = cancelled()
    (held,) = world.store.kept_of("bot")
    world.store._held_ones[held.collection] = replace(held, bot_id="another")
    assert not world.start().target_adopted


def test_an_adopted_target_that_turns_out_not_to_fit_is_not_held_again() -> None:
    world = cancelled()
    second = world.start()
    world.conductor.fail(second.id, 1, PermanentError("no"))
    world.deliver()
    assert 1 == len(world.store.kept_of("bot"))
    third = world.start()
    world.conductor.fail(third.id, 1, ForeignCollection("not like it"))
    world.deliver()
    assert [SOURCE] == world.vectors.names()
