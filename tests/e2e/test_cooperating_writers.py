"""Whoever writes through us loses nothing, whatever becomes of the bot and of its workers."""

from __future__ import annotations

import time
from typing import Any

from tests.harness.bots import BotHandle, expect
from tests.harness.cooperating import CooperatingWriter
from tests.harness.world import LARGE, SMALL, World


def journal(bot: BotHandle) -> dict[str, Any]:
    return dict(expect(200, bot.api.get(f"/bots/{bot.bot_id}/chunks/journal")))


def all_applied(bot: BotHandle, seconds: float = 30.0) -> dict[str, Any]:
    """The journal once nothing waits."""
    deadline = time.monotonic() + seconds
    while (seen := journal(bot))["waiting"]:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen


def writing(world: World, bot: BotHandle, per_second: float = 30.0) -> CooperatingWriter:
    return CooperatingWriter(
        world.url, world.owner_token, bot.bot_id, bot.history, per_second=per_second
    )


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
