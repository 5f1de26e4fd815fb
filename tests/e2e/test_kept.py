"""What becomes of the collections that a bot has left, once their windows have closed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import create_engine, text

from tests.harness.bots import BotHandle
from tests.harness.world import LARGE, SMALL, World

#: Windows and holds close now, and what is due is due now.
CLOSED = (
    (
        "UPDATE bots SET previous_expires_at = now()"
        " WHERE bot_id = :bot AND previous_collection IS NOT NULL"
    ),
    "UPDATE held_collections SET drop_after = now() WHERE bot_id = :bot AND drop_after > now()",
    "UPDATE due SET at = now() FROM migrations WHERE migration_id = id AND bot_id = :bot",
)


def once_all_is_over(world: World, bot: BotHandle, holds: Callable[[], bool]) -> None:
    """Let the bot's windows and holds close until this holds."""
    engine = create_engine(world.servers.database_url)
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, bot.status()
        with engine.begin() as connection:
            for statement in CLOSED:
                connection.execute(text(statement), {"bot": bot.bot_id})
        time.sleep(0.5)  # the watchdog looks as often
    engine.dispose()


def held(bot: BotHandle) -> dict[str, dict[str, Any]]:
    return {one["collection"]: one for one in bot.status()["held"]}


def is_loaded(world: World, collection: str) -> bool:
    return "Loaded" == world.milvus.get_load_state(collection)["state"].name


def test_the_original_stays_when_its_window_closes_and_what_reembed_made_goes(
    world: World,
) -> None:
    bot = world.seed_bot(20)
    original, untouched = bot.collection, world.digest(bot)
    bot.migrate(LARGE)
    made = bot.pair()[0]
    assert is_loaded(world, original)
    once_all_is_over(world, bot, lambda: not is_loaded(world, original))
    (one,) = held(bot).values()
    assert (original, "retired", True, None) == (
        one["collection"],
        one["reason"],
        one["stays"],
        one["drop_after"],
    )
    assert f"PATCH /bots/{bot.bot_id}" in one["note"]
    bot.migrate(SMALL)
    once_all_is_over(world, bot, lambda: made not in world.milvus.list_collections())
    assert [original] == list(held(bot))
    world.milvus.load_collection(original)
    assert untouched == world.digest(bot)
    world.assert_all_well(bot)
