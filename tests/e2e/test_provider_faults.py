"""The embedding provider goes wrong: what passes is waited out, what lasts ends the run."""

from __future__ import annotations

from tests.harness import rows
from tests.harness.oracle import wrongly_embedded
from tests.harness.world import KEY, LARGE, SMALL, World

POISON = "chunk number 17 says 289"


def test_a_chunk_the_provider_refuses_ends_the_run_and_is_named(world: World) -> None:
    bot = world.seed_bot(60)
    world.provider.misbehave("refuse_text", containing=POISON)
    seen = bot.start(LARGE, batch_size=10).ends("rolled_back")
    (error,) = seen["errors"]
    assert "too-many-failed-chunks" == error["code"]
    assert ["k000017"] == [chunk["key"] for chunk in error["details"]["failed"]]
    assert [("k000017", "text-refused")] == [
        (chunk["key"], chunk["code"]) for chunk in seen["failed_chunk_errors"]
    ]
    assert (bot.collection, SMALL) == bot.pair()
    world.assert_all_well(bot)


def test_a_permitted_refusal_leaves_out_that_chunk_alone_and_lists_it(world: World) -> None:
    bot = world.seed_bot(60)
    world.provider.misbehave("refuse_text", containing=POISON)
    seen = bot.start(LARGE, batch_size=10, max_failed_ratio=0.1).ends("completed")
    assert 1 == seen["failed_chunks"]
    assert ["k000017"] == [chunk["key"] for chunk in seen["failed_chunk_errors"]]
    found = rows.read_all(world.milvus, bot.pair()[0])
    assert bot.history.initial.keys() - {"k000017"} == {row.key for row in found}
    assert [] == wrongly_embedded(found, LARGE)


def test_rate_limits_and_server_errors_are_waited_out(world: World) -> None:
    bot = world.seed_bot(60)
    with world.driver.paused("data_migration.planned") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        world.provider.control({"reset": True})
        world.provider.misbehave("rate_limited", times=4, retry_after_seconds=0.3)
        world.provider.misbehave("rate_limited", times=3)
        world.provider.misbehave("server_error", times=4)
        world.provider.misbehave("reset", times=1)
    run.ends("completed")
    statuses = world.provider.stats()["statuses"]
    assert (7, 4) == (statuses["429"], statuses["500"]), "every fault was met"
    world.assert_all_well(bot)


def test_a_wait_is_told_while_it_lasts(world: World) -> None:
    bot = world.seed_bot(20)
    with world.driver.paused("data_migration.planned") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        world.provider.misbehave("rate_limited", retry_after_seconds=0.5)
    seen = run.wait_for(lambda seen: seen["waiting_for"] is not None, 20)
    assert "rate limit" in seen["waiting_for"].lower()
    world.provider.behave()
    assert run.ends("completed")["waiting_for"] is None
    world.assert_all_well(bot)


def test_answers_that_are_nonsense_are_asked_for_again(world: World) -> None:
    bot = world.seed_bot(60)
    with world.driver.paused("data_migration.planned") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        for kind in ("nan", "zeros", "too_few", "reordered", "not_json"):
            world.provider.misbehave(kind, times=1)
    run.ends("completed")
    world.assert_all_well(bot)


def test_a_key_that_is_refused_in_mid_run_ends_it_at_once_with_its_category(
    world: World,
) -> None:
    bot = world.seed_bot(60)
    with world.driver.paused("data_migration.planned") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        world.provider.misbehave("unauthorized")
        world.provider.control({"reset": True})
    (error,) = run.ends("rolled_back", 15)["errors"]
    assert "provider-authentication" == error["code"]
    assert KEY not in str(run.progress()) + str(bot.status())
    # Each of the batches in flight may have asked once.
    assert world.provider.stats()["requests"] <= 8
    world.assert_all_well(bot)


def test_a_model_that_changes_its_dimension_in_mid_run_ends_it(world: World) -> None:
    bot = world.seed_bot(30)
    with world.driver.paused("data_migration.planned") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        world.provider.misbehave("wrong_dimension")
    (error,) = run.ends("rolled_back", 15)["errors"]
    assert "dimension-mismatch" == error["code"]
    world.assert_all_well(bot)


def test_vectors_given_to_the_wrong_texts_are_found_before_the_switch(world: World) -> None:
    bot = world.seed_bot(30)
    with world.driver.paused("data_migration.planned") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        world.provider.misbehave("swapped", times=1)
    (error,) = run.ends("rolled_back")["errors"]
    assert "verification-failed" == error["code"]
    assert "28 of 30 sampled vectors are of their own text" in error["message"]
    world.assert_all_well(bot)


def test_no_key_is_in_any_log(world: World) -> None:
    bot = world.seed_bot(5)
    world.provider.misbehave("unauthorized", times=1)
    bot.start(LARGE).ends("rolled_back")
    for name in ("api", "batch", "control"):
        assert KEY not in world.processes.log(name).read_text(), name
