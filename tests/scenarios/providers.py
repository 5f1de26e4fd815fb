"""The embedding provider is away, wrong or gone."""

from __future__ import annotations

import time
from typing import Any

from tests.harness.bots import BotHandle, Run
from tests.harness.ground import Ground
from tests.scenarios.judging import BATCH, RESUME_SECONDS, rolled_back, seeded, started

#: Wrong once, asked again, right.
PASSING = ("nan", "zeros", "too_few", "reordered", "duplicate_index", "not_json")
#: Never right: the run must not switch.
LASTING = {
    "wrong_dimension": "dimension-mismatch",
    "unauthorized": "provider-authentication",
    "insufficient_quota": "provider-quota",
    "model_gone": None,
}


def _with(ground: Ground, *faults: dict[str, Any], **wish: object) -> tuple[BotHandle, Run]:
    """A run whose provider goes wrong from the first batch on."""
    bot = seeded(ground)
    with ground.driver.paused("data_migration.planned") as held:
        run = started(bot, **wish)
        held.wait()
        for fault in faults:
            ground.provider.misbehave(**fault)
    return bot, run


def outage(ground: Ground, seconds: float) -> str:
    """429, 500 and resets for a while, then well again; the run waits and says why."""
    bot, run = _with(
        ground,
        {"kind": "rate_limited", "times": 4, "retry_after_seconds": 1.0},
        {"kind": "reset", "times": 4},
        {"kind": "server_error"},
    )
    seen = run.wait_for(lambda seen: seen["waiting_for"] is not None, 20)
    time.sleep(seconds)
    ground.provider.behave()
    run.ends("completed", RESUME_SECONDS)
    ground.assert_all_well(bot)
    return f"{seconds:.0f} s, it said: {seen['waiting_for']}"


def hanging(ground: Ground) -> str:
    """Answers that never come are given up, and asked for again."""
    bot, run = _with(ground, {"kind": "hang", "times": 3, "seconds": 120.0})
    run.ends("completed", 2 * RESUME_SECONDS)
    ground.assert_all_well(bot)
    return "three answers never came"


def nonsense_once(ground: Ground) -> str:
    """Each kind of wrong answer once; nothing of it is stored."""
    bot, run = _with(ground, *({"kind": kind, "times": 1} for kind in PASSING))
    run.ends("completed", RESUME_SECONDS)
    ground.assert_all_well(bot)
    return ", ".join(PASSING)


def wrong_for_good(ground: Ground, kind: str) -> str:
    """No other answer would be right: it stops at once and is taken back."""
    bot, run = _with(ground, {"kind": kind})
    rolled_back(ground, bot, run)
    (error,) = run.progress()["errors"]
    wanted = LASTING[kind]
    assert wanted is None or error["code"] == wanted, error
    return str(error["code"])


def swapped(ground: Ground) -> str:
    """Vectors given to the wrong texts are found before the switch."""
    bot, run = _with(ground, {"kind": "swapped", "times": 2})
    rolled_back(ground, bot, run)
    return str(run.progress()["errors"][0]["code"])


def drifted(ground: Ground) -> str:
    """The provider changes the model in mid-run: a mixed collection never goes live."""
    bot = seeded(ground)
    with ground.driver.paused("batch.before_read", skip=3):
        run = started(bot)
        run.wait_for(lambda seen: seen["processed_chunks"] == 3 * BATCH)
        ground.provider.misbehave("drifted")
    rolled_back(ground, bot, run)
    return str(run.progress()["errors"][0]["code"])


def poison(ground: Ground) -> str:
    """One text is refused: its neighbours go on, it is named, and nothing half-done goes live."""
    bot = seeded(ground)
    ground.provider.misbehave("too_long", containing=bot.history.initial["k000017"])
    run = started(bot)
    rolled_back(ground, bot, run)
    (error,) = run.progress()["errors"]
    assert [chunk["key"] for chunk in error["details"]["failed"]] == ["k000017"]
    return str(error["code"])
