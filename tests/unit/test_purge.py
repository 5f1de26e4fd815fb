"""Retiring and dropping what nobody can need any more, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from migrations.model.errors import (
    ForeignCollection,
    RollbackUnavailable,
    StillRead,
    VectorStoreUnavailable,
)
from migrations.model.left_behind import HoldReason
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.runs import Due, Migration
from migrations.model.texts import FieldRecipe
from migrations.way_back.kept import drop_kept, retire
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import OWNER, SOURCE, World

HOUR = 3600.0


def switched(drop_originals: bool = True) -> tuple[World, Migration]:
    settings = {"retention_hours": 72, "hold_hours": 24}
    world = World(settings=settings, drop_originals=drop_originals)
    return world, world.complete()


def retired(drop_originals: bool = True) -> tuple[World, Migration]:
    world, migration = switched(drop_originals)
    world.clock.sleep(73 * HOUR)
    assert retire(world.services, migration.id)
    return world, migration


def work_for(world: World, hours: float) -> None:
    """The watchdog looks every few minutes, and workers do what it finds."""
    for _ in range(int(hours * 12)):
        world.clock.sleep(HOUR / 12)
        world.watchdog.look()
        world.deliver()


# --- retiring -------------------------------------------------------------------------


def test_the_watchdog_retires_after_the_window_and_drops_after_the_hold() -> None:
    world, _ = switched()
    work_for(world, 71)
    assert world.bot.previous is not None
    work_for(world, 2)
    assert None is world.bot.previous
    assert [SOURCE] == [held.collection for held in world.store.kept_of("bot")]
    work_for(world, 22)
    assert world.vectors.exists(SOURCE)
    work_for(world, 3)
    assert [world.bot.live.collection] == world.vectors.names()
    assert [] == world.store.kept_of("bot")
    assert [] == world.failures


def test_within_the_window_nothing_is_retired() -> None:
    world, migration = switched()
    world.clock.sleep(71 * HOUR)
    assert not retire(world.services, migration.id)
    assert world.bot.previous is not None


def test_what_is_held_says_what_it_is_and_until_when() -> None:
    world, migration = retired()
    (held,) = world.system.status(OWNER, "bot").held
    assert (HoldReason.RETIRED, SMALL, 12) == (held.reason, held.embedding, held.chunks)
    assert timedelta(hours=24) == held.drop_after - held.held_at
    assert "retired" in world.told(migration)


def test_retiring_ends_the_way_back_with_a_sentence_that_says_so() -> None:
    world, migration = retired()
    back = world.system.status(OWNER, "bot").rollback
    assert not back.ready
    assert "was retired at" in back.blockers[0]
    with pytest.raises(RollbackUnavailable):
        world.system.rollback(OWNER, migration.id)


def test_nothing_is_retired_while_stragglers_come() -> None:
    world, migration = switched()
    world.clock.sleep(73 * HOUR)
    world.write("new", "a straggler")
    assert not retire(world.services, migration.id)
    assert world.bot.previous is not None
    assert "a straggler" == world.texts_of(world.bot.live.collection)["new"]
    assert retire(world.services, migration.id)


def test_a_write_between_reading_and_sweeping_is_swept() -> None:
    world, migration = switched()
    world.clock.sleep(73 * HOUR)
    pages = world.vectors.scan_rows

    def scan(*args: object, **options: object) -> object:
        found = list(pages(*args, **options))  # type: ignore[arg-type]  # handed through
        world.vectors.scan_rows = pages  # type: ignore[method-assign]  # only the first
        world.write("new", "just then")
        return iter(found)

    world.vectors.scan_rows = scan  # type: ignore[method-assign,assignment]  # as above
    assert not retire(world.services, migration.id)


def test_a_rollback_that_has_begun_is_not_retired_away() -> None:
    world, migration = switched()
    world.system.rollback(OWNER, migration.id)
    world.clock.sleep(73 * HOUR)
    assert [] == world.store.claim_due(Due.RETIRE, (0, 300))
    assert not world.store.retire(migration.id, 12, "x", 24)
    assert world.bot.previous is not None


def test_a_collection_that_is_gone_already_is_forgotten() -> None:
    world, _ = switched()
    world.vectors.drop(SOURCE)
    work_for(world, 98)
    assert None is world.bot.previous
    assert [] == world.store.kept_of("bot")


def test_two_watchdogs_enqueue_retiring_and_dropping_once() -> None:
    world, _ = switched()
    for hours, name in ((73, "migrations.retire"), (25, "migrations.drop_held")):
        world.clock.sleep(hours * HOUR)
        world.watchdog.look()
        world.watchdog.look()
        assert 1 == [task.name for task in world.pending()].count(name)
        world.deliver()


def test_a_bot_that_never_switched_loses_nothing() -> None:
    world = World()
    work_for(world, 30)
    assert [SOURCE] == world.vectors.names()


def test_what_a_second_switch_pushes_out_is_held_and_read_before_it_is_dropped() -> None:
    world, _ = switched()
    world.complete(model="small", dimension=4)
    (held,) = world.store.kept_of("bot")
    assert (SOURCE, None) == (held.collection, held.content_digest)
    assert not drop_kept(world.services, SOURCE)
    assert world.vectors.exists(SOURCE)
    world.clock.sleep(25 * HOUR)
    assert drop_kept(world.services, SOURCE)
    assert not world.vectors.exists(SOURCE)


# --- dropping -------------------------------------------------------------------------


def test_what_is_held_is_not_dropped_before_its_time() -> None:
    world, _ = retired()
    world.clock.sleep(23 * HOUR)
    assert not drop_kept(world.services, SOURCE)
    assert world.vectors.exists(SOURCE)


def test_a_drop_is_refused_when_somebody_has_written_since_and_says_so() -> None:
    world, migration = retired()
    world.clock.sleep(25 * HOUR)
    world.write("k000", "one second before the drop")
    assert not drop_kept(world.services, SOURCE)
    assert world.vectors.exists(SOURCE)
    held = world.store.kept(SOURCE)
    assert held is not None
    assert held.drop_after > world.clock.now()
    assert "drop_refused" in world.told(migration)
    assert "Somebody has written" in world.now(migration).warnings[-1]
    work_for(world, 100)
    assert world.vectors.exists(SOURCE)


def test_a_write_after_the_reading_is_seen_under_the_lock() -> None:
    world, _ = retired()
    world.clock.sleep(25 * HOUR)
    world.vectors.before("aliases_of", lambda: world.write("new", "at the last moment"))
    with pytest.raises(ForeignCollection, match="is writing"):
        drop_kept(world.services, SOURCE)
    assert world.vectors.exists(SOURCE)


def test_a_drop_is_refused_while_an_alias_points_there() -> None:
    world, _ = retired()
    world.clock.sleep(25 * HOUR)
    world.vectors.point_alias("somebody_elses", SOURCE)
    with pytest.raises(StillRead, match="alias"):
        drop_kept(world.services, SOURCE)
    assert world.vectors.exists(SOURCE)
    world.vectors.drop_alias("somebody_elses")
    assert drop_kept(world.services, SOURCE)


def plant(world: World, collection: str) -> None:
    """A row that wrongly says: held for long enough."""
    held = world.store.kept(SOURCE)
    assert held is not None
    wrong = replace(held, collection=collection, reason=HoldReason.ROLLED_BACK)
    world.store._held_ones[collection] = wrong


def test_the_live_collection_is_not_dropped_whatever_a_stale_row_says() -> None:
    world, _ = retired()
    live = world.bot.live.collection
    plant(world, live)
    world.clock.sleep(25 * HOUR)
    world.vectors.drop_alias("live")
    assert not drop_kept(world.services, live)
    assert world.vectors.exists(live)


def test_a_previous_collection_is_not_dropped_whatever_a_stale_row_says() -> None:
    world, _ = retired()
    second = world.complete(model="small", dimension=4)
    plant(world, second.source_collection)
    world.clock.sleep(25 * HOUR)
    assert not drop_kept(world.services, second.source_collection)
    assert world.vectors.exists(second.source_collection)


def test_the_target_of_a_run_is_not_dropped_whatever_a_stale_row_says() -> None:
    world, _ = retired()
    running = world.start(model="small", dimension=4)
    world.deliver(before="migrations.phase.verification")
    plant(world, running.target_collection)
    world.clock.sleep(25 * HOUR)
    assert not drop_kept(world.services, running.target_collection)
    assert world.vectors.exists(running.target_collection)


def test_what_became_somebodys_between_the_reading_and_the_lock_is_kept() -> None:
    world, _ = retired()
    world.clock.sleep(25 * HOUR)

    def become_live() -> None:
        bot = world.bot
        world.store._bots["bot"] = replace(bot, live=replace(bot.live, collection=SOURCE))

    world.vectors.before("exists", become_live)
    assert not drop_kept(world.services, SOURCE)
    assert world.vectors.exists(SOURCE)


def test_a_drop_that_fails_is_still_held_and_tried_again() -> None:
    world, _ = retired()
    other = another_bot_switched(world)
    world.clock.sleep(25 * HOUR)
    world.vectors.fail("drop", VectorStoreUnavailable())
    world.watchdog.look()
    world.deliver()
    assert world.vectors.exists(SOURCE)
    work_for(world, 1)
    assert not world.vectors.exists(SOURCE)
    assert world.vectors.exists(other)


# --- originals: what no run of ours has made ---------------------------------------------


def test_an_original_is_released_when_its_window_closes_and_stays() -> None:
    world, migration = switched(drop_originals=False)
    work_for(world, 72)
    assert world.vectors.is_loaded(SOURCE)
    work_for(world, 200)
    assert None is world.bot.previous
    assert world.vectors.exists(SOURCE)
    assert not world.vectors.is_loaded(SOURCE)
    (held,) = world.system.status(OWNER, "bot").held
    assert (SOURCE, HoldReason.RETIRED, True, None) == (
        held.collection,
        held.reason,
        held.stays,
        held.drop_after,
    )
    assert ["retired", "original_kept"] == world.told(migration)[-2:]
    assert [] == world.failures


def test_an_original_that_stays_is_left_alone_from_then_on() -> None:
    world, _ = switched(drop_originals=False)
    work_for(world, 74)
    world.vectors.load(SOURCE)  # whoever wants to read it
    work_for(world, 30)
    assert world.vectors.is_loaded(SOURCE)
    assert [] == world.store.claim_due(Due.DROP, (0, 300))


def test_an_original_that_somebody_reads_by_an_alias_is_not_released() -> None:
    world, _ = switched(drop_originals=False)
    world.vectors.point_alias("somebody_elses", SOURCE)
    work_for(world, 74)
    assert world.vectors.is_loaded(SOURCE)
    assert world.store.kept_of("bot")[0].drop_after is None


def test_what_is_released_in_vain_is_released_later() -> None:
    world, _ = retired(drop_originals=False)
    world.vectors.fail("release", VectorStoreUnavailable())
    world.watchdog.look()
    world.deliver()
    assert world.store.kept_of("bot")[0].drop_after is not None
    work_for(world, 1)
    assert not world.vectors.is_loaded(SOURCE)
    assert world.store.kept_of("bot")[0].drop_after is None


def test_an_original_pushed_out_by_a_second_switch_stays_and_what_we_made_goes() -> None:
    world, first = switched(drop_originals=False)
    world.complete(model="small", dimension=4)
    work_for(world, 72 + 24 + 2)
    assert [world.bot.live.collection, SOURCE] == sorted(world.vectors.names())
    assert not world.vectors.is_loaded(SOURCE)
    assert not world.vectors.exists(first.target_collection)


def test_an_original_that_a_rollback_went_back_to_is_none_of_our_making() -> None:
    """The reverse run's target is the original: that a run went there does not make it ours."""
    world, first = switched(drop_originals=False)
    world.system.rollback(OWNER, first.id)
    world.deliver()
    assert SOURCE == world.bot.live.collection
    world.complete(model="small", dimension=4)
    work_for(world, 72 + 24 + 2)
    assert world.vectors.exists(SOURCE)
    assert not world.vectors.exists(first.target_collection)


def test_what_we_made_is_dropped_after_a_rollback_whatever_the_bot_says_of_originals() -> None:
    world, first = switched(drop_originals=False)
    world.system.rollback(OWNER, first.id)
    world.deliver()
    work_for(world, 72 + 24 + 2)
    assert [SOURCE] == world.vectors.names()


def test_an_original_that_stays_does_not_keep_the_bot_from_moving_on() -> None:
    world, _ = switched(drop_originals=False)
    work_for(world, 74)
    second = world.complete(model="small", dimension=4)
    assert not second.target_adopted
    assert world.system.status(OWNER, "bot").rollback.ready


def test_an_original_dropped_by_somebody_is_no_longer_shown() -> None:
    world, _ = switched(drop_originals=False)
    work_for(world, 74)
    world.vectors.drop(SOURCE)
    assert () == world.system.status(OWNER, "bot").held


def test_an_original_gone_before_its_window_closed_is_forgotten() -> None:
    world, _ = switched(drop_originals=False)
    world.vectors.drop(SOURCE)
    work_for(world, 98)
    assert [] == world.store.kept_of("bot")


def test_a_stale_reading_that_says_it_may_be_dropped_is_asked_about_under_the_lock() -> None:
    world, _ = retired()
    world.clock.sleep(25 * HOUR)

    def change_its_mind() -> None:
        world.store._bots["bot"] = replace(world.bot, drop_originals=False)

    world.vectors.before("exists", change_its_mind)
    assert not drop_kept(world.services, SOURCE)
    assert world.vectors.exists(SOURCE)
    assert not drop_kept(world.services, SOURCE)
    assert world.vectors.exists(SOURCE)
    assert world.store.kept_of("bot")[0].drop_after is None


def another_bot_switched(world: World) -> str:
    """A second bot, whose collections have nothing to do with it."""
    world.vectors.seed("zoo", [{"pk": "a", "text": "ape"}], SMALL.dimension, "zoo_live")
    world.system.register_bot(
        OWNER,
        BotRegistration(
            "zoo",
            "zoo_live",
            "fake",
            "small",
            recipe=FieldRecipe(field="text"),
            drop_originals=True,
        ),
    )
    world.system.start_migration(OWNER, StartRequest("zoo", LARGE.provider, LARGE.model))
    world.deliver()
    return world.store.bot("zoo").live.collection
