"""What operators and the clock do: restarts, deadlines, undos that fail, two at once."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from datetime import UTC, datetime

from devstack.child import ended_within
from devstack.stack import PROJECT
from tests.harness import rows
from tests.harness.bots import expect
from tests.harness.ground import Ground
from tests.harness.world import LARGE, OTHER
from tests.harness.writers import ForeignWriter, always
from tests.scenarios.deaths import FORWARD
from tests.scenarios.judging import (
    BATCH,
    RESUME_SECONDS,
    completed,
    own_texts,
    paid_again,
    rolled_back,
    seeded,
    started,
)


def rolling_restarts(ground: Ground, times: int) -> str:
    """Deploys in the middle of a run: each worker in turn is asked to stop, and started."""
    bot = seeded(ground, 600)
    ground.provider.latency_seconds = 0.3
    run = started(bot)
    run.wait_for(lambda seen: seen["processed_chunks"] > 0)
    restarts = 0
    for name in (ground.workers_running() * times)[:times]:
        ground.restart([name])
        restarts += 1
    ground.provider.latency_seconds = 0
    completed(ground, bot, run, again=restarts * BATCH)
    return f"{restarts} restarts, {paid_again(ground, bot, run)} texts embedded again"


def ended_while_waiting(ground: Ground, point: str) -> str:
    """A deploy finds a worker waiting for what is away: another one waits on, at the same epoch."""
    ground.wait_for_workers()
    bot = seeded(ground)
    outage = ground.driver.on(point, "outage", times=None)
    run = started(bot)
    pid = ground.acted(point, "outage").pid
    name = ground.name_of(pid)
    os.kill(pid, signal.SIGTERM)
    assert ended_within(pid, RESUME_SECONDS), f"{name} waits on, for what does not come"
    outage.times = 0
    ground.revive()
    completed(ground, bot, run)
    assert ground.row(run)["epoch"] == 1, "it was not given back but had to be driven again"
    return f"{name} put it down"


def timed_out_while_stuck(ground: Ground) -> str:
    """Every worker that has a task of the run stands still; the deadline is kept all the same."""
    bot = seeded(ground)
    stuck: list[int] = []
    with ground.driver.paused("batch.before_read") as held:
        run = started(bot, timeout_seconds=6)
        held.wait()
        for name, pid in ground.pids("batch").items():
            os.kill(pid, signal.SIGSTOP)
            stuck.append(pid)
            assert name
        # One of those that stand still may be in a round; another's watchdog takes the next.
        run.wait_for(lambda seen: seen["status"] in ("rolling_back", "rolled_back"), 30)
    rolled_back(ground, bot, run)
    (error,) = run.progress()["errors"]
    assert error["code"] == "timed-out", error
    for pid in stuck:
        os.kill(pid, signal.SIGCONT)
    time.sleep(2)
    rolled_back(ground, bot, run)
    return f"taken back with {len(stuck)} workers standing still"


def deadline_at_every_boundary(ground: Ground) -> str:
    """Before the switch it turns round, from the switch on it does not apply."""
    ends = {}
    for point in (*FORWARD[::4], "finalization.before_switch", "cleanup.before_run"):
        bot = seeded(ground)
        with ground.driver.paused(point) as held:
            # Enough for a busy machine to come to the last of them.
            run = started(bot, timeout_seconds=12)
            held.wait(12)
            left = ground.row(run)["deadline_at"] - datetime.now(UTC)
            time.sleep(left.total_seconds() + 0.5)
        switched = point in FORWARD[FORWARD.index("finalization.before_switch") :]
        if switched:
            completed(ground, bot, run)
        else:
            rolled_back(ground, bot, run)
        ends[point] = "completed" if switched else "rolled_back"
        ground.driver.clear()
    return f"{len(ends)} boundaries"


def cancelled_at_every_boundary(ground: Ground) -> str:
    """Before the switch the old world is as it was, to the byte; after it nothing is taken back."""
    refused = 0
    for point in (*FORWARD[::3], "finalization.before_switch", "finalization.after_switch"):
        bot = seeded(ground)
        row, untouched = bot.row(), ground.digest(bot)
        with ground.driver.paused(point) as held:
            run = started(bot)
            held.wait(20)
            answer = bot.ask_cancel()
        if answer.status == 202:
            rolled_back(ground, bot, run)
            assert (row, untouched) == (bot.row(), ground.digest(bot)), point
        else:
            assert answer.status == 409, answer
            completed(ground, bot, run)
            refused += 1
        ground.driver.clear()
    assert refused, "no cancel came too late"
    return f"{refused} of them came too late and were refused"


def starts_and_rollbacks_at_once(ground: Ground) -> str:
    """One of two starts wins and the other hears its id; so with rollbacks."""
    bot = seeded(ground)
    with ground.driver.paused("validation.before_run") as held:
        run = started(bot)
        held.wait()
        assert expect(409, bot.ask_start(OTHER))["migration_id"] == run.id
    completed(ground, bot, run)
    with ground.driver.paused("validation.before_run") as held:
        back = run.roll_back()
        held.wait()
        assert expect(409, run.ask_rollback())["migration_id"] == back.id
        assert expect(409, bot.ask_start(LARGE))["migration_id"] == back.id
    back.ends("completed", RESUME_SECONDS)
    ground.assert_all_well(bot)
    return "the second gets the first one's id"


def failing_undo(ground: Ground, undo: str, *, times: int | None) -> str:
    """An undo that fails is tried again; one that keeps failing needs the operator's command."""
    bot = seeded(ground)
    row = bot.row()
    ground.driver.on("verification.after_run", "raise")
    rule = ground.driver.on(undo, "raise", times=times)
    run = started(bot, max_retries=2)
    if times is not None:
        rolled_back(ground, bot, run)
        return f"{times} failures were got over"
    (error,) = run.ends("needs_operator", RESUME_SECONDS)["errors"]
    assert row == bot.row(), "the source is untouched"
    told = ground.told(run)
    # The other four of the completed phases before it, and the one that is not undone.
    assert (told.count("undone"), told.count("undo_failed")) == (4, 1), told
    rule.times = 0
    _command(ground, error["repair"])
    run.ends("rolled_back", RESUME_SECONDS)
    ground.assert_all_well(bot)
    return f"repaired by: {error['repair'].rpartition(' ')[0]} <id>"


def _command(ground: Ground, line: str) -> None:
    done = subprocess.run(
        shlex.split(line),
        env=ground.environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


# --- collections and writers --------------------------------------------------------


def creation_reply_lost(ground: Ground) -> str:
    """The target was made and the worker did not hear of it: it is adopted by its tag."""
    bot = seeded(ground)
    ground.driver.on("new_collection.after_create", "outage")
    run = started(bot)
    completed(ground, bot, run)
    assert len(ground.driver.reached("new_collection.after_create")) == 2
    return "adopted"


def name_taken(ground: Ground) -> str:
    """Somebody else's collection has the target's name: it is left alone, and its bot is free."""
    bot = seeded(ground)
    with ground.driver.paused("new_collection_creation.before_run") as held:
        run = started(bot)
        held.wait()
        name = ground.row(run)["target_collection"]
        rows.make_collection(ground.milvus, name, LARGE.dimension)
        rows.fill(ground.milvus, name, LARGE, {"theirs": "somebody else's text"})
        theirs = rows.digest(ground.milvus, name)
    ended = run.ends("rolled_back", RESUME_SECONDS)
    (error,) = ended["errors"]
    assert error["code"] == "foreign-collection", error
    assert "not made for this bot" in ended["warnings"][-1], ended
    assert theirs == rows.digest(ground.milvus, name)
    assert bot.pair() == (bot.collection, bot.embedding)
    ground.milvus.drop_collection(name)  # which is nobody's, as the oracle would find
    ground.assert_all_well(bot)
    return "kept, and told of"


def released_before_the_switch(ground: Ground) -> str:
    """Somebody releases the target after verification: it is loaded again before it goes live."""
    bot = seeded(ground)
    with ground.driver.paused("finalization.before_run") as held:
        run = started(bot)
        held.wait()
        ground.milvus.release_collection(ground.row(run)["target_collection"])
    completed(ground, bot, run)
    return "loaded again"


def flushed_and_compacted(ground: Ground) -> str:
    """Milvus rearranges its segments while it is written to and compared."""
    bot = seeded(ground, 300)
    ground.provider.latency_seconds = 0.1
    run = started(bot)
    times = 0
    while not (seen := run.progress())["finished"]:
        if seen["processed_chunks"]:
            target = ground.row(run)["target_collection"]
            for name in (bot.collection, target):
                ground.milvus.flush(name)
                ground.milvus.compact(name)
            times += 1
        time.sleep(0.3)
    assert times, "it was over before anything was rearranged"
    completed(ground, bot, run)
    return f"{times} times"


def foreign_writer(ground: Ground, *, kills: int = 0) -> str:
    """Somebody writes straight to Milvus, behind and before the cursor, until finalization."""
    bot = ground.seed_bot(own_texts(400))
    ground.provider.latency_seconds = 0.1
    url = ground.servers.milvus_url
    where = always(bot.alias, bot.embedding)
    with ground.driver.paused("finalization.before_run") as held:
        with ForeignWriter(url, where, bot.history, seed=3, per_second=25):
            run = started(bot)
            for number in range(kills):
                victim = "batch2" if number % 2 else "control2"
                time.sleep(1)
                ground.kill(victim)
                ground.revive()
            held.wait(RESUME_SECONDS)
        held.release()
    completed(ground, bot, run, again=kills * BATCH * ground.slots)
    return f"{bot.history.acknowledged()} writes, {kills} kills"
