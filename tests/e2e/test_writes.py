"""Somebody keeps writing straight to Milvus while the bot is moved."""

from __future__ import annotations

from tests.harness.readers import BotReader
from tests.harness.world import LARGE, SMALL, World
from tests.harness.writers import ForeignWriter, Operation, Outcome, always, write


def test_what_is_written_during_the_data_migration_is_there_afterwards(world: World) -> None:
    bot = world.seed_bot(120)
    changes: dict[str, str | None] = {
        "k000000": "changed behind the cursor",
        "k000119": "changed before it",
    }
    changes |= {"k000001": None, "k000118": None, "a-first": "new, first", "z-last": "new, last"}
    with world.driver.paused("catch_up.before_run") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        write(world.milvus, bot.alias, SMALL, changes)
        bot.history.operations += [Operation(k, text, Outcome.OK) for k, text in changes.items()]
    run.ends("completed")
    assert LARGE == bot.pair()[1]
    world.assert_all_well(bot)


def test_what_is_written_just_before_the_last_catching_up_is_there_afterwards(
    world: World,
) -> None:
    bot = world.seed_bot(40)
    changes: dict[str, str | None] = {
        "k000000": "changed late",
        "k000001": None,
        "late": "new, late",
    }
    with world.driver.paused("finalization.before_run") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        write(world.milvus, bot.alias, SMALL, changes)
        bot.history.operations += [Operation(k, text, Outcome.OK) for k, text in changes.items()]
    run.ends("completed")
    world.assert_all_well(bot)


def test_a_writer_who_never_pauses_until_finalization_loses_nothing(world: World) -> None:
    bot = world.seed_bot(120)
    # Only what nobody deletes may be asked for.
    kept = {key: text for key, text in bot.history.initial.items() if key < "k000040"}
    world.provider.latency_seconds = 0.3
    writer = ForeignWriter(
        world.servers.milvus_url,
        always(bot.alias, SMALL),
        bot.history,
        per_second=25,
        seed=7,
        spared=kept,
    )
    with (
        BotReader(world.servers.milvus_url, bot.pair, kept) as reader,
        world.driver.paused("finalization.before_run") as held,
    ):
        with writer:
            run = bot.start(LARGE, batch_size=10)
            held.wait(60)
        held.release()
        run.ends("completed")
        reader.assert_answered(5)
    assert bot.history.acknowledged() >= 25
    world.assert_all_well(bot)
