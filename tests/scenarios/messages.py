"""Messages that are lost, doubled, late or out of order; the broker's list is ours to edit."""

from __future__ import annotations

import random
import time

import orjson

from migrations.model.task_names import BATCH_QUEUES, CONTROL_QUEUE
from tests.harness.bots import Run
from tests.harness.ground import Ground
from tests.scenarios.judging import completed, rolled_back, seeded, started

QUEUES = (*BATCH_QUEUES, CONTROL_QUEUE)


def doubled(ground: Ground) -> str:
    """Every batch and every phase is delivered twice, also while it is at work."""
    bot = seeded(ground, 120)
    ground.provider.latency_seconds = 0.2
    run = started(bot)
    doubled: set[bytes] = set()
    rng = random.Random(1)
    while not run.progress()["finished"]:
        _double(ground, run, doubled)
        _shuffle(ground, rng)
        time.sleep(0.05)
    assert doubled, "nothing was at work"
    completed(ground, bot, run)
    return f"{len(doubled)} messages delivered twice"


def _double(ground: Ground, run: Run, doubled: set[bytes]) -> None:
    """Put what is being worked on back into its queue, as a visibility timeout would."""
    for tag, held in ground.redis.hgetall("unacked").items():
        if tag not in doubled and run.id.encode() in held:
            message, _, queue = orjson.loads(held)
            ground.redis.lpush(queue, orjson.dumps(message))
            doubled.add(tag)


def _shuffle(ground: Ground, rng: random.Random) -> None:
    for queue in QUEUES:
        waiting = ground.redis.lrange(queue, 0, -1)
        rng.shuffle(waiting)
        with ground.redis.pipeline() as at_once:
            for one in waiting:
                at_once.lrem(queue, 1, one)
            if waiting:
                at_once.rpush(queue, *waiting)
            at_once.execute()


def outbox_sent_again(ground: Ground) -> str:
    """The reply of publishing was lost: the sweep sends what was sent already."""
    bot = seeded(ground)
    with ground.driver.paused("catch_up.before_run") as held:
        run = started(bot)
        held.wait()
        ground.forget_sending(run)
        time.sleep(4)
    completed(ground, bot, run)
    ground.forget_sending(run)
    time.sleep(4)
    completed(ground, bot, run)
    return "the outbox was swept twice"


def lost(ground: Ground) -> str:
    """Everything that waits in the broker is gone; nobody is told."""
    bot = seeded(ground, 200)
    with ground.driver.paused("batch.before_read") as held:
        run = started(bot)
        held.wait(times=ground.slots * len(ground.pids("batch")))  # nobody takes any more
        gone = _forgotten(ground)
    completed(ground, bot, run)
    return f"{gone} messages lost"


def _forgotten(ground: Ground) -> int:
    """Messages that waited in the broker and are gone."""
    gone = sum(ground.redis.llen(queue) for queue in QUEUES)
    ground.redis.delete(*QUEUES)
    assert gone, "nothing was waiting"
    return gone


def compensation_lost(ground: Ground) -> str:
    """The message that starts the compensation is gone; the watchdog sends it again."""
    bot = seeded(ground)
    with ground.driver.paused("validation.after_run") as held:
        run = started(bot)
        held.wait()
        for name in ground.pids("control"):  # or one of them takes the message at once
            ground.kill(name)
        assert bot.ask_cancel().status == 202
        _forgotten(ground)
    ground.revive()
    rolled_back(ground, bot, run)
    return f"epoch {ground.row(run)['epoch']}"
