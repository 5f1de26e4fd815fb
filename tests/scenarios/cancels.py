"""The ways to cancel; each must end in one compensating chain, and paying must stop."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from celery import Celery

from devstack.stack import PROJECT
from tests.harness.bots import BotHandle, Run, expect
from tests.harness.ground import Ground
from tests.harness.plain_http import fetch
from tests.harness.world import World
from tests.scenarios.judging import rolled_back, seeded, started

#: The provider may still be answering what it was asked before the cancel was heard.
STOPS_PAYING_WITHIN_SECONDS = 5.0
#: Six slots need twelve seconds for each run's, so that what goes on paying is found out.
CHUNKS, LATENCY_SECONDS = 480, 1.5


def by_api(ground: Ground, bot: BotHandle, run: Run) -> None:
    expect(202, bot.ask_cancel())


def by_revoke(ground: Ground, bot: BotHandle, run: Run) -> None:
    """``celery control revoke <migration id>``."""
    _told_workers(ground, "revoke", task_id=run.id)


def by_terminate(ground: Ground, bot: BotHandle, run: Run) -> None:
    """``celery control terminate SIGTERM <migration id>``."""
    _told_workers(ground, "terminate", signal="SIGTERM", task_id=run.id)


def by_task_id(ground: Ground, bot: BotHandle, run: Run) -> None:
    """Revoke one of its batches by that task's own id."""
    _told_workers(ground, "revoke", task_id=f"{run.id}.1.batch_3")


def by_stamp(ground: Ground, bot: BotHandle, run: Run) -> None:
    """``celery control revoke_by_stamped_headers migration_id=<id>``, typed."""
    _celery_control(ground, "revoke_by_stamped_headers", f"migration_id={run.id}")


def by_flower(ground: World, bot: BotHandle, run: Run) -> None:
    """What Flower's button sends."""
    expect(200, fetch(f"{ground.flower_url}/api/task/revoke/{run.id}?terminate=true", b""))


WAYS: dict[str, Callable[[Ground, BotHandle, Run], None]] = {
    "api": by_api,
    "revoke": by_revoke,
    "terminate": by_terminate,
    "task id": by_task_id,
    "stamp": by_stamp,
    "flower": by_flower,
}


def cancelled(ground: Ground, *ways: str, restarting: bool = False) -> str:
    """Cancel so many runs in mid-migration; ``restarting``: and restart all workers right after."""
    ground.provider.latency_seconds = LATENCY_SECONDS
    if "flower" in ways:
        flower_up(ground)
    bots = [seeded(ground, CHUNKS) for _ in ways]
    before = [(bot.row(), ground.digest(bot)) for bot in bots]
    # A command line takes its time to start on a busy machine; no run ends before it.
    with ground.driver.paused("verification.before_run"):
        runs = [started(bot) for bot in bots]
        for run in runs:
            run.wait_for(lambda seen: seen["processed_chunks"] > 0)
        for way, bot, run in zip(ways, bots, runs, strict=True):
            WAYS[way](ground, bot, run)
        asked_at = time.time()
    if restarting:
        for name in ground.workers_running():
            ground.kill(name)
        ground.revive()
    for bot, run in zip(bots, runs, strict=True):
        rolled_back(ground, bot, run)
    last = ground.asked.last(asked_at)
    late = last - asked_at if last else 0.0
    assert late <= STOPS_PAYING_WITHIN_SECONDS, f"paid {late:.1f} s after the cancel"
    for bot, run, (row, untouched) in zip(bots, runs, before, strict=True):
        seen = run.progress()
        assert seen["errors"][0]["code"] == "cancelled", seen["errors"]
        assert row == bot.row()
        assert untouched == ground.digest(bot)
    return f"last paid call {late:.1f} s after"


def flower_up(ground: Ground, seconds: float = 30) -> None:
    """Flower is there; it stays up for the scenarios after this one."""
    ground.processes.start(["flower"])
    url = f"{ground.flower_url}/api/workers?refresh=1"
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):  # noqa: S310 # our own http URL
                return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "Flower does not come up"
            time.sleep(0.3)


def _told_workers(ground: Ground, command: str, **arguments: str) -> None:
    """What the command line sends, without the seconds it takes to start."""
    # A connection of its own, as a command has: kombu's pool keeps some that have been cut since.
    with (
        Celery("operator", broker=ground.servers.redis_url, set_as_current=False) as app,
        app.connection_for_write() as connection,
    ):
        answers = app.control.broadcast(
            command, arguments, reply=True, timeout=10, limit=1, connection=connection
        )
    assert answers, "no worker has answered"


def _celery_control(ground: Ground, *words: str) -> None:
    done = subprocess.run(
        ["celery", "-A", "worker", "control", *words],
        env=ground.environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
