"""Writes that nobody could fence: between the last catching up and the switch, and after it."""

from __future__ import annotations

import time

import pytest
from pymilvus import MilvusException

from tests.harness.bots import BotHandle
from tests.harness.ground import Ground
from tests.harness.oracle import lasting
from tests.harness.world import SMALL
from tests.harness.writers import write
from tests.scenarios.judging import RESUME_SECONDS, seeded, started, written

#: What the plan allows for a late write to reach the new collection.
FORWARDED_WITHIN_SECONDS = 30.0


def between_catching_up_and_switch(ground: Ground) -> str:
    """Inserted, changed and deleted after the last comparison: forwarded by the first sweep."""
    bot = seeded(ground)
    with ground.driver.paused("finalization.before_switch") as held:
        run = started(bot)
        held.wait()
        written(ground, bot, {"k000001": "changed late", "k000002": None, "late": "new, late"})
    run.ends("completed", RESUME_SECONDS)
    return _forwarded(ground, bot)


def after_the_switch(ground: Ground) -> str:
    """By the old physical name: forwarded. By the alias, with the old model: refused by Milvus."""
    bot = seeded(ground)
    run = started(bot)
    run.ends("completed", RESUME_SECONDS)
    written(ground, bot, {"k000003": "changed after", "k000004": None, "after": "new, after"})
    with pytest.raises(MilvusException, match="dim"):
        write(ground.milvus, bot.alias, SMALL, {"refused": "of another dimension"})
    return _forwarded(ground, bot)


def _forwarded(ground: Ground, bot: BotHandle) -> str:
    since = time.monotonic()
    look = lambda: ground.oracle.findings(bot.bot_id, bot.history)  # noqa: E731
    found = lasting(look, FORWARDED_WITHIN_SECONDS)
    assert not found, f"not forwarded: {found}"
    return f"forwarded {time.monotonic() - since:.1f} s after the run's end"
