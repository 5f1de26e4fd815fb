"""More time, another pace, and another try for a run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from migrations.model.bots import Caller
from migrations.model.errors import (
    AlreadySwitched,
    InvalidConfiguration,
    MigrationInProgress,
    MigrationNotFound,
    NotSteerable,
    SameModel,
)
from migrations.model.pace import Pace
from migrations.model.states import Phase, Status
from migrations.ports.limiter import Rules
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import ADMIN, OWNER, World, kill

TENTH = Pace(share=0.1)


# --- more time -------------------------------------------------------------------


def test_a_run_that_was_given_more_time_is_not_ended_at_its_old_deadline() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION, timeout_seconds=60)
    extended = world.system.extend(OWNER, migration.id, 600)
    assert timedelta(seconds=540) == extended.deadline_at - migration.deadline_at
    assert 600 == extended.config.timeout_seconds
    world.clock.sleep(90)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status, world.now(migration).error


def test_work_that_is_under_way_hears_of_more_time() -> None:
    world = World()
    migration = world.start(timeout_seconds=60)
    world.deliver(before="migrations.batch")

    def later() -> None:
        world.system.extend(OWNER, migration.id, 600)
        world.clock.sleep(90)

    with world.at("batch.before_read", later):
        world.deliver()
    assert Status.COMPLETED == world.now(migration).status, world.now(migration).error
    assert "redriven" not in world.told(migration)


def test_a_run_that_is_late_in_spite_of_more_time_says_how_much_it_had() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION, timeout_seconds=60)
    world.system.extend(OWNER, migration.id, 600)
    world.clock.sleep(601)
    world.settle()
    ended = world.now(migration)
    assert Status.ROLLED_BACK == ended.status
    assert "600 seconds" in (ended.error or {})["message"]


def test_a_paused_run_has_so_much_more_left() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION, timeout_seconds=60)
    world.system.pause(OWNER, migration.id)
    world.system.extend(OWNER, migration.id, 600)
    world.clock.sleep(24 * 3600)
    resumed = world.system.resume(OWNER, migration.id)
    left = (resumed.deadline_at - world.clock.now()).total_seconds()
    assert 590 < left <= 600


def test_a_run_that_waits_has_its_longer_time_once_it_is_accepted() -> None:
    world = World()
    migration = world.complete(postpone=True, timeout_seconds=60)
    world.system.extend(OWNER, migration.id, 600)
    accepted = world.system.accept(OWNER, migration.id, None)
    assert timedelta(seconds=600) == accepted.deadline_at - world.clock.now()


def test_the_same_time_again_changes_nothing_and_less_is_refused() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION, timeout_seconds=60)
    first = world.system.extend(OWNER, migration.id, 600)
    assert first == world.system.extend(OWNER, migration.id, 600)
    assert 1 == world.told(migration).count("extended")
    with pytest.raises(InvalidConfiguration, match="only lengthened"):
        world.system.extend(OWNER, migration.id, 599)


def test_the_operators_longest_timeout_binds_all_but_admins() -> None:
    world = World(settings={"max_timeout_seconds": 7200})
    migration = world.start_at(Phase.VERIFICATION)
    with pytest.raises(InvalidConfiguration, match="REEMBED_MAX_TIMEOUT_SECONDS"):
        world.system.extend(OWNER, migration.id, 7201)
    assert 7201 == world.system.extend(ADMIN, migration.id, 7201).config.timeout_seconds


def test_after_the_switch_there_is_no_deadline_to_move() -> None:
    world = World()
    migration = world.complete()
    with pytest.raises(AlreadySwitched):
        world.system.extend(OWNER, migration.id, 86_400)


# --- another pace ------------------------------------------------------------------


def limited() -> World:
    world = World()
    world.limiter.limit(LARGE.provider, Rules(requests=600_000))
    return world


def test_a_pace_is_told_to_the_limiter_and_taken_away_again() -> None:
    world = limited()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.system.throttle(OWNER, migration.id, TENTH)
    assert {(LARGE.provider, migration.id): TENTH} == world.limiter.paces
    world.system.throttle(OWNER, migration.id, None)
    assert {} == world.limiter.paces
    assert ["throttled", "unthrottled"] == [n for n in world.told(migration) if "throttled" in n]


def test_a_pace_that_the_limiter_has_lost_is_told_again_while_the_run_lives() -> None:
    world = limited()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.system.throttle(OWNER, migration.id, TENTH)
    world.limiter.paces.clear()
    world.watchdog.look()
    assert {(LARGE.provider, migration.id): TENTH} == world.limiter.paces
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    world.limiter.paces.clear()
    world.look_later()
    assert {} == world.limiter.paces


def test_a_pace_outlives_a_pause_and_a_death() -> None:
    world = limited()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.system.throttle(OWNER, migration.id, TENTH)
    world.system.pause(OWNER, migration.id)
    world.system.resume(OWNER, migration.id)
    with world.at("batch.before_upsert", kill):
        world.settle()
    done = world.now(migration)
    assert (Status.COMPLETED, TENTH) == (done.status, Pace.of(done.controls))


def test_the_same_pace_again_is_no_news() -> None:
    world = limited()
    migration = world.start_at(Phase.DATA_MIGRATION)
    first = world.system.throttle(OWNER, migration.id, TENTH)
    assert first == world.system.throttle(OWNER, migration.id, TENTH)
    assert 1 == world.told(migration).count("throttled")


def test_a_share_of_a_limit_that_nobody_knows_is_refused_and_a_number_is_not() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    with pytest.raises(InvalidConfiguration, match="requests_per_minute"):
        world.system.throttle(OWNER, migration.id, TENTH)
    world.system.throttle(OWNER, migration.id, Pace(requests_per_minute=60))


def test_a_run_that_asks_nobody_any_more_has_no_pace() -> None:
    world = limited()
    migration = world.start_at(Phase.VERIFICATION)
    world.system.cancel(OWNER, "bot")
    with pytest.raises(NotSteerable):
        world.system.throttle(OWNER, migration.id, TENTH)


# --- another try -------------------------------------------------------------------


def test_a_run_that_was_rolled_back_is_tried_again_and_pays_only_for_what_is_missing() -> None:
    world = World(settings={"hold_hours": 24})
    migration = world.start_at(Phase.VERIFICATION, over_long="split")
    world.system.cancel(OWNER, "bot")
    world.settle()
    again = world.system.retry(OWNER, migration.id)
    assert again.created
    assert migration.config == again.migration.config
    world.settle()
    done = world.now(again.migration)
    assert (Status.COMPLETED, True) == (done.status, done.target_adopted)
    assert 0 == world.store.tokens_by_purpose(done.id).get("data_migration", 0)


def test_a_run_that_failed_and_was_not_undone_is_tried_again() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION, enable_rollback=False, timeout_seconds=60)
    world.clock.sleep(61)
    world.settle()
    assert Status.FAILED == world.now(migration).status
    again = world.system.retry(OWNER, migration.id).migration
    world.settle()
    assert Status.COMPLETED == world.now(again).status, world.now(again).error


def test_trying_again_twice_starts_one_run() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.system.cancel(OWNER, "bot")
    world.settle()
    first = world.system.retry(OWNER, migration.id)
    second = world.system.retry(OWNER, migration.id)
    assert (True, False) == (first.created, second.created)
    assert first.migration.id == second.migration.id
    world.settle()
    assert not world.system.retry(OWNER, migration.id).created


def test_a_run_that_was_taken_back_after_its_switch_can_be_tried_again() -> None:
    world = World()
    migration = world.complete()
    back = world.system.rollback(OWNER, migration.id).migration
    world.settle()
    with pytest.raises(NotSteerable, match="way back"):
        world.system.retry(OWNER, back.id)
    again = world.system.retry(OWNER, migration.id).migration
    world.settle()
    assert Status.COMPLETED == world.now(again).status, world.now(again).error
    assert LARGE == world.bot.live.embedding


def test_what_lives_has_completed_or_needs_an_operator_is_not_tried_again() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    with pytest.raises(MigrationInProgress):
        world.system.retry(OWNER, migration.id)
    world.settle()
    with pytest.raises(NotSteerable, match="completed"):
        world.system.retry(OWNER, migration.id)


def test_a_run_whose_model_is_live_by_now_is_not_tried_again() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.system.cancel(OWNER, "bot")
    world.settle()
    world.complete()
    assert SMALL != world.bot.live.embedding
    with pytest.raises(SameModel):
        world.system.retry(OWNER, migration.id)


def test_another_owner_can_do_none_of_it() -> None:
    world = limited()
    migration = world.start_at(Phase.VERIFICATION)
    stranger = Caller("somebody")
    for act in (
        lambda: world.system.extend(stranger, migration.id, 86_400),
        lambda: world.system.throttle(stranger, migration.id, TENTH),
        lambda: world.system.retry(stranger, migration.id),
    ):
        with pytest.raises(MigrationNotFound):
            act()
