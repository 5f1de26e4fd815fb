"""Redis forgets; the run goes on from PostgreSQL and from what the target holds."""

from __future__ import annotations

import random
import shutil

from tests.harness.bots import BotHandle, Run
from tests.harness.ground import Ground
from tests.scenarios.judging import BATCH, completed, paid_again, seeded, started

#: A few batches for each slot, slowly: what comes in the middle must not come too late.
CHUNKS, LATENCY_SECONDS = 200, 0.5


def _in_mid_migration(ground: Ground) -> tuple[BotHandle, Run]:
    bot = seeded(ground, CHUNKS)
    ground.provider.latency_seconds = LATENCY_SECONDS
    run = started(bot)
    run.wait_for(lambda seen: CHUNKS / 4 <= seen["processed_chunks"] < CHUNKS)
    return bot, run


def _in_flight(ground: Ground) -> int:
    """Texts that may be embedded again: a batch for each slot there is."""
    return BATCH * ground.slots * len(ground.pids("batch"))


def _goes_on(ground: Ground, bot: BotHandle, run: Run) -> str:
    allowed = _in_flight(ground)
    completed(ground, bot, run, again=allowed)
    ground.processes.check()  # nobody has ended because of it
    return (
        f"{paid_again(ground, bot, run)} texts embedded again, allowed {allowed}; "
        f"epoch {ground.row(run)['epoch']}"
    )


def flushed(ground: Ground) -> str:
    """FLUSHALL in mid-migration."""
    bot, run = _in_mid_migration(ground)
    ground.redis.flushall()
    return _goes_on(ground, bot, run)


def restarted_empty(ground: Ground) -> str:
    """Killed, and started again without its append-only file."""
    bot, run = _in_mid_migration(ground)
    ground.crash("redis", 1, forgetting=True)
    return _goes_on(ground, bot, run)


def restarted(ground: Ground) -> str:
    """Killed, and started again with what it had written."""
    bot, run = _in_mid_migration(ground)
    ground.crash("redis", 1)
    return _goes_on(ground, bot, run)


def restored_from_old_dump(ground: Ground) -> str:
    """Checkpoints and messages from before are there again; they must not take anything back."""
    bot = seeded(ground, CHUNKS)
    ground.provider.latency_seconds = LATENCY_SECONDS
    run = started(bot)
    run.wait_for(lambda seen: seen["processed_chunks"] >= BATCH)
    data = ground.server("redis").data
    kept = data.with_name("redis-of-old")
    shutil.copytree(data, kept)
    run.wait_for(lambda seen: seen["processed_chunks"] >= CHUNKS / 2)
    ground.server("redis").kill()
    shutil.rmtree(data)
    shutil.move(kept, data)
    ground.server("redis").start()
    return _goes_on(ground, bot, run)


def keys_evicted(ground: Ground) -> str:
    """A part of what belongs together is gone, as an eviction would leave it."""
    bot, run = _in_mid_migration(ground)
    keys = sorted(ground.redis.scan_iter(f"reembed:{{{run.id}}}:*"))
    assert keys, "there was nothing to evict"
    random.Random(5).shuffle(keys)
    ground.redis.delete(*keys[::2])
    return f"{len(keys[::2])} of {len(keys)} keys evicted; {_goes_on(ground, bot, run)}"
