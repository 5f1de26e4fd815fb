"""A worker is stopped, replaced, and comes back: it must find its epoch gone and do no harm."""

from __future__ import annotations

import os
import signal
import time

from tests.harness import rows
from tests.harness.ground import Ground
from tests.harness.readers import BotReader
from tests.harness.world import LARGE
from tests.scenarios.judging import BATCH, completed, rolled_back, seeded, started

#: Long enough for whatever a zombie would still do.
AFTERLIFE_SECONDS = 3.0
#: The watchdog looks every two seconds by default; the contract for a late alias change.
REPAIRED_WITHIN_SECONDS = 10.0


def stopped_at(ground: Ground, point: str) -> str:
    """SIGSTOP at the point; the run completes; SIGCONT changes nothing."""
    bot = seeded(ground)
    ground.driver.on(point, "stop")
    with BotReader(ground.servers.milvus_url, bot.pair, bot.history.initial) as reader:
        run = started(bot)
        zombie = ground.acted(point, "stop").pid
        completed(ground, bot, run, again=BATCH * ground.slots)
        row, live = bot.row(), ground.digest(bot, bot.pair()[0])
        paid = len(ground.asked)
        os.kill(zombie, signal.SIGCONT)
        time.sleep(AFTERLIFE_SECONDS)
        reader.assert_answered()
    assert row == bot.row()
    assert live == ground.digest(bot, bot.pair()[0])
    # One call a thread may have been on its way from its last look to the socket.
    late = len(ground.asked) - paid
    assert late <= ground.slots, f"the zombie paid for {late} calls"
    completed(ground, bot, run, again=BATCH * ground.slots)
    return f"{ground.name_of(zombie)} came back at epoch {ground.row(run)['epoch']}"


def stopped_while_undoing(ground: Ground) -> str:
    """A late undo must not take what a later run has made."""
    bot = seeded(ground)
    ground.driver.on("verification.after_run", "raise")
    ground.driver.on("new_collection_creation.before_undo", "stop")
    run = started(bot)
    zombie = ground.acted("new_collection_creation.before_undo", "stop").pid
    rolled_back(ground, bot, run)
    second = started(bot)
    second.ends("completed")
    os.kill(zombie, signal.SIGCONT)
    time.sleep(AFTERLIFE_SECONDS)
    completed(ground, bot, second)
    assert run.progress()["status"] == "rolled_back"
    return "a new run's target outlived the late undo"


def late_alias_change(ground: Ground) -> str:
    """A worker stopped between switch and alias wakes up after the way back was taken."""
    bot = seeded(ground)
    ground.driver.on("finalization.after_switch", "stop")
    run = started(bot)
    zombie = ground.acted("finalization.after_switch", "stop").pid
    run.ends("completed")
    target = bot.pair()[0]
    run.roll_back().ends("completed")
    # The worst it could do: its call has left it before it was stopped, and arrives now.
    ground.milvus.alter_alias(target, bot.alias, timeout=rows.TIMEOUT_SECONDS)
    os.kill(zombie, signal.SIGCONT)
    wrong_since = time.monotonic()
    while rows.points_to(ground.milvus, bot.alias) != bot.collection:
        assert time.monotonic() - wrong_since < REPAIRED_WITHIN_SECONDS, "the alias stays wrong"
        time.sleep(0.05)
    seconds = time.monotonic() - wrong_since
    time.sleep(AFTERLIFE_SECONDS)
    ground.assert_all_well(bot)
    assert LARGE != bot.pair()[1]
    return f"the alias was put right after {seconds:.1f} s"


def stopped_watchdog(ground: Ground) -> str:
    """A worker is stopped in a round of its watchdog; another one's takes the next."""
    bot = seeded(ground)
    ground.driver.on("watchdog.before_round", "stop")
    frozen = ground.acted("watchdog.before_round", "stop").pid
    ground.driver.on("data_migration.planned", "kill")
    run = started(bot)
    victim = ground.wait_dead(ground.acted("data_migration.planned", "kill"))
    ground.processes.start([victim])
    ground.remember_pids()
    completed(ground, bot, run)
    os.kill(frozen, signal.SIGCONT)
    return f"{ground.name_of(frozen)} had the watch, {victim} was killed"
