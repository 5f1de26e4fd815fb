"""Dropping what nobody can need any more, and nothing else."""

from __future__ import annotations

from migrations.errors import VectorStoreUnavailable
from migrations.purge import purge_expired
from migrations.requests import BotRegistration, StartRequest
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import OWNER, SOURCE, World

HOUR = 3600.0


def switched(**settings: float) -> World:
    world = World(settings={"retention_hours": 72, **settings})
    world.complete()
    return world


def test_within_the_retention_window_nothing_is_dropped() -> None:
    world = switched()
    world.clock.sleep(71 * HOUR)
    assert 0 == purge_expired(world.services)
    assert world.vectors.exists(SOURCE)


def test_after_the_window_the_previous_collection_goes_and_is_forgotten() -> None:
    world = switched()
    world.clock.sleep(73 * HOUR)
    assert 1 == purge_expired(world.services)
    assert [world.bot.live.collection] == world.vectors.names()
    assert None is world.bot.previous
    assert 0 == purge_expired(world.services)


def test_a_bot_that_never_switched_loses_nothing() -> None:
    world = World()
    world.clock.sleep(1000 * HOUR)
    assert 0 == purge_expired(world.services)
    assert [SOURCE] == world.vectors.names()


def test_the_live_collection_stays_and_so_does_the_target_of_a_running_rollback() -> None:
    world = switched()
    migration = world.store.latest("bot")
    world.system.rollback(OWNER, migration.id)
    world.clock.sleep(73 * HOUR)
    assert 0 == purge_expired(world.services)
    assert world.vectors.exists(SOURCE)
    assert world.vectors.exists(world.bot.live.collection)


def test_a_rollback_that_starts_between_looking_and_locking_keeps_the_collection() -> None:
    world = switched()
    seen_expired = [world.bot]
    world.system.rollback(OWNER, world.store.latest("bot").id)
    world.clock.sleep(73 * HOUR)
    world.store.previous_expired = lambda: seen_expired  # type: ignore[method-assign]
    assert 0 == purge_expired(world.services)
    assert world.vectors.exists(SOURCE)


def test_a_collection_with_an_alias_is_kept_and_still_remembered() -> None:
    world = switched()
    world.vectors.point_alias("somebody_elses", SOURCE)
    world.clock.sleep(73 * HOUR)
    assert 0 == purge_expired(world.services)
    assert world.vectors.exists(SOURCE)
    world.vectors.drop_alias("somebody_elses")
    assert 1 == purge_expired(world.services)
    assert not world.vectors.exists(SOURCE)


def test_a_collection_that_is_gone_already_is_forgotten() -> None:
    world = switched()
    world.vectors.drop(SOURCE)
    world.clock.sleep(73 * HOUR)
    purge_expired(world.services)
    assert None is world.bot.previous


def test_a_collection_that_cannot_be_dropped_does_not_keep_the_others() -> None:
    world = switched()
    other = another_bot_switched(world)
    world.clock.sleep(73 * HOUR)
    world.vectors.fail("drop", VectorStoreUnavailable())
    purge_expired(world.services)
    assert sorted([world.bot.live.collection, other, SOURCE]) == world.vectors.names()


def another_bot_switched(world: World) -> str:
    """A second bot, after the first one by name, whose previous collection expires too."""
    world.vectors.seed("zoo", [{"pk": "a", "text": "ape"}], SMALL.dimension, "zoo_live")
    world.system.register_bot(OWNER, BotRegistration("zoo", "zoo_live", "fake", "small"))
    wish = StartRequest("zoo", LARGE.provider, LARGE.model)
    world.system.start_migration(OWNER, wish)
    world.deliver()
    return world.store.bot("zoo").live.collection
