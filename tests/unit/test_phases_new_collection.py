"""The target: made or adopted when it is ours; dropped only when it is ours and nobody's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrations.model.errors import StillRead
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.phases import new_collection_creation as phase
from tests.fakes.embedders import LARGE
from tests.fakes.world import OWNER, SOURCE, World


def test_the_target_is_the_source_with_another_dimension() -> None:
    world = World()
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)
    phase.execute(world.run_of(migration))
    source = world.vectors.describe(SOURCE)
    target = world.vectors.describe(migration.target_collection)
    assert [] == source.differences(target)
    assert LARGE.dimension == target.dimension
    assert migration.tag == world.vectors.owner_tag(target.name)


def test_a_target_of_ours_is_adopted_with_what_it_holds() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    before = world.contents(migration.target_collection)
    phase.execute(world.run_of(migration))
    assert before == world.contents(migration.target_collection)


@pytest.mark.parametrize(("unindexed_rows", "loaded"), [(12, True), (11, False)])
def test_a_target_that_waits_for_its_index_is_not_loaded_before(
    unindexed_rows: int, loaded: bool
) -> None:
    world = World(12, settings={"unindexed_rows": unindexed_rows})
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)
    phase.execute(world.run_of(migration))
    assert loaded == world.vectors.is_loaded(migration.target_collection)


def test_a_target_that_may_hold_chunks_is_loaded_to_be_looked_into() -> None:
    world = World(settings={"unindexed_rows": 0})
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)
    phase.execute(replace(world.run_of(migration), has_stored=True))
    assert world.vectors.is_loaded(migration.target_collection)


def test_a_foreign_collection_of_that_name_is_refused_and_untouched() -> None:
    world = World()
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)
    world.vectors.seed(migration.target_collection, [{"pk": "a", "text": "theirs"}], 16)
    world.settle()
    assert {"a": "theirs"} == world.texts_of(migration.target_collection)
    now = world.now(migration)
    assert "foreign-collection" == (now.error or {})["code"]
    assert Status.ROLLED_BACK == now.status
    assert "not made for this bot" in now.warnings[-1]


def test_undoing_it_drops_the_target_and_may_be_repeated() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.system.cancel(OWNER, "bot")
    run = world.run_of(migration)
    phase.undo(run)
    phase.undo(run)
    assert [SOURCE] == world.vectors.names()


def test_undoing_what_was_never_made_is_no_error() -> None:
    world = World()
    migration = world.start()
    world.system.cancel(OWNER, "bot")
    phase.undo(world.run_of(migration))
    assert [SOURCE] == world.vectors.names()


def test_it_can_be_made_again_after_its_undo() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.vectors.drop(migration.target_collection)
    phase.execute(world.run_of(migration))
    assert world.vectors.exists(migration.target_collection)


def cancelled(world: World) -> Migration:
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.system.cancel(OWNER, "bot")
    return migration


def test_undoing_keeps_a_collection_with_another_tag() -> None:
    world = World()
    migration = cancelled(world)
    world.vectors._collections[migration.target_collection].owner_tag = "reembed:other"
    phase.undo(world.run_of(migration))
    assert world.vectors.exists(migration.target_collection)
    assert "not made for this bot" in world.now(migration).warnings[-1]


def test_undoing_keeps_a_collection_that_an_alias_points_to() -> None:
    world = World()
    migration = cancelled(world)
    world.vectors.point_alias("somebody_elses", migration.target_collection)
    with pytest.raises(StillRead, match="drop the alias"):
        phase.undo(world.run_of(migration))
    assert world.vectors.exists(migration.target_collection)


def test_undoing_keeps_a_collection_that_a_bot_answers_from() -> None:
    world = World()
    migration = cancelled(world)
    bot = world.bot
    live = replace(bot.live, collection=migration.target_collection)
    world.store._bots["bot"] = replace(bot, live=live)
    phase.undo(world.run_of(migration))
    assert world.vectors.exists(migration.target_collection)
    assert "is a bot's" in world.now(migration).warnings[-1]


def test_undoing_a_rollback_keeps_the_previous_collection() -> None:
    world = World()
    migration = world.complete()
    before = world.contents(SOURCE)
    back = world.system.rollback(OWNER, migration.id).migration
    phase.undo(world.run_of(back))
    assert before == world.contents(SOURCE)


def test_a_rollback_loads_the_previous_collection_when_it_was_released() -> None:
    world = World()
    migration = world.complete()
    world.vectors.release(SOURCE)
    world.system.rollback(OWNER, migration.id)
    world.settle()
    assert world.vectors.is_loaded(SOURCE)
    assert SOURCE == world.bot.live.collection
