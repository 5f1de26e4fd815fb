"""Cancelling, running out of time, and starts that are one too many."""

from __future__ import annotations

import time

from tests.harness.bots import Run, expect
from tests.harness.world import LARGE, OTHER, SMALL, World


def test_a_cancel_stops_paying_waits_for_batches_in_flight_and_leaves_nothing(
    world: World,
) -> None:
    bot = world.seed_bot(120)
    row, untouched = bot.row(), world.digest(bot)
    with world.driver.paused("batch.before_upsert") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait(times=world.slots)  # so that nobody is just about to call
        target = bot.status()["migration"]["target_collection"]
        answer = expect(202, bot.ask_cancel())
        assert (run.id, "rolling_back") == (
            answer["migration"]["migration_id"],
            answer["migration"]["status"],
        )
        calls = world.provider.stats()["requests"]
        time.sleep(1.5)
        assert target in world.milvus.list_collections(), "undone under a batch in flight"
        assert "rolling_back" == run.progress()["status"]
    (error,) = run.ends("rolled_back")["errors"]
    assert "cancelled" == error["code"]
    assert calls == world.provider.stats()["requests"], "paid after the cancel"
    assert row == bot.row()
    assert untouched == world.digest(bot)
    assert target not in world.milvus.list_collections()
    world.assert_all_well(bot)


def test_cancelling_twice_is_answered_alike_and_compensates_once(world: World) -> None:
    bot = world.seed_bot(40)
    with world.driver.paused("batch.before_read") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        answers = [expect(202, bot.ask_cancel())["migration"] for _ in range(2)]
    assert [run.id, run.id] == [answer["migration_id"] for answer in answers]
    run.ends("rolled_back")
    told = [event["name"] for event in world.oracle.events(run.id)]
    assert (1, 1) == (told.count("cancel_requested"), told.count("rolled_back"))
    refused = expect(409, bot.ask_cancel())
    assert "/problems/no-active-migration" == refused["type"]
    world.assert_all_well(bot)


def test_a_cancel_during_the_switch_is_refused_and_after_it_pointed_to_rollback(
    world: World,
) -> None:
    bot = world.seed_bot(10)
    with world.driver.paused("finalization.before_switch") as held:
        run = bot.start(LARGE)
        held.wait()
        during = expect(409, bot.ask_cancel())
    with world.driver.paused("cleanup.before_run") as held:
        held.wait()
        after = expect(409, bot.ask_cancel())
    assert "/problems/switch-completing" == during["type"]
    assert "/problems/already-switched" == after["type"]
    assert "rollback" in after["detail"]
    run.ends("completed")
    world.assert_all_well(bot)


def test_a_migration_that_outlives_its_timeout_is_rolled_back(world: World) -> None:
    bot = world.seed_bot(40)
    with world.driver.paused("batch.before_upsert") as held:
        run = bot.start(LARGE, batch_size=10, timeout_seconds=10)  # to get there on a busy machine
        held.wait()
        run.wait_for(lambda seen: seen["status"] == "rolling_back", 30)
    (error,) = run.ends("rolled_back")["errors"]
    assert "timed-out" == error["code"]
    assert "10 seconds" in error["message"]
    assert (bot.collection, SMALL) == bot.pair()
    world.assert_all_well(bot)


def test_a_timeout_no_longer_counts_once_the_switch_has_begun(world: World) -> None:
    bot = world.seed_bot(10)
    with world.driver.paused("finalization.before_switch") as held:
        run = bot.start(LARGE, timeout_seconds=12)
        held.wait()
        time.sleep(12.5)
    run.ends("completed")
    world.assert_all_well(bot)


def test_a_second_start_is_refused_and_names_the_running_one(world: World) -> None:
    bot = world.seed_bot(10)
    with world.driver.paused("validation.before_run") as held:
        run = bot.start(LARGE)
        held.wait()
        refused = expect(409, bot.ask_start(OTHER))
    assert "/problems/migration-in-progress" == refused["type"]
    assert run.id == refused["migration_id"]
    assert run.id in refused["detail"]
    run.ends("completed")
    world.assert_all_well(bot)


def test_a_repeated_idempotency_key_starts_nothing_even_after_the_end(world: World) -> None:
    bot = world.seed_bot(10)
    first = bot.ask_start(LARGE, key="wish-1")
    run = Run(bot.api, expect(202, first)["migration"]["migration_id"])
    run.ends("completed")
    again = bot.ask_start(LARGE, key="wish-1")
    assert run.id == expect(202, again)["migration"]["migration_id"]
    assert again.body["created"] is False
    assert "true" == again.headers["Idempotent-Replayed"]
    assert first.headers["Location"] == again.headers["Location"]
    refused = expect(422, bot.ask_start(OTHER, key="wish-1"))
    assert "/problems/idempotency-conflict" == refused["type"]
    world.assert_all_well(bot)


def test_no_more_than_three_migrations_run_at_once(world: World) -> None:
    bots = [world.seed_bot({"one": "only chunk"}) for _ in range(4)]
    with world.driver.paused("validation.before_run") as held:
        runs = [bot.start(LARGE) for bot in bots[:3]]
        held.wait()
        refused = bots[3].ask_start(LARGE)
    assert "/problems/too-many-migrations" == expect(429, refused)["type"]
    assert int(refused.headers["Retry-After"]) > 0
    for bot, run in zip(bots, runs, strict=False):
        run.ends("completed")
        world.assert_all_well(bot)
    bots[3].migrate(LARGE)


def test_a_worker_that_was_asked_to_end_is_not_waited_for_to_fall_silent(world: World) -> None:
    world.processes.stop(["batch"])
    try:
        found = expect(200, world.admin.get("/workers"))
        # A test before may have killed one, which fell silent and is seen for an hour.
        alive = [one["name"].partition("@")[0] for one in found["workers"] if one["alive"]]
        assert ["control"] == alive
    finally:
        world.processes.start(["batch"])
    deadline = time.monotonic() + 60  # others count on it
    while expect(200, world.admin.get("/workers"))["alive"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
