"""Whoever writes through us loses nothing, whatever becomes of the bot and of its workers."""

from __future__ import annotations

from tests.harness.world import LARGE, SMALL, World
from tests.scenarios.cooperating import all_applied, writing


def test_what_is_written_through_a_run_its_switch_and_a_rollback_is_what_there_is(
    world: World,
) -> None:
    bot = world.seed_bot(80)
    with writing(world, bot) as writer:
        run = bot.start(LARGE, batch_size=10)
        run.ends("completed")
        assert LARGE == bot.pair()[1]
        reverse = run.roll_back()
        reverse.ends("completed")
    assert (bot.collection, SMALL) == bot.pair()
    seen = all_applied(bot)
    assert ([], 0) == (writer.told.refused, seen["failed_count"])
    assert len(bot.history.operations) == seen["last_position"]
    world.assert_all_well(bot)
