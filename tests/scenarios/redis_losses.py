"""Redis forgets; the run goes on from PostgreSQL and from what the target holds."""

from __future__ import annotations

import random
import shutil

from tests.harness.ground import Ground
from tests.scenarios.judging import (
    BATCH,
    CHUNKS,
    LATENCY_SECONDS,
    goes_on,
    in_mid_migration,
    seeded,
    started,
)


def flushed(ground: Ground) -> str:
    """FLUSHALL in mid-migration."""
    bot, run = in_mid_migration(ground)
    ground.redis.flushall()
    return goes_on(ground, bot, run)


def restarted_empty(ground: Ground) -> str:
    """Killed, and started again without its append-only file."""
    bot, run = in_mid_migration(ground)
    ground.crash("redis", 1, forgetting=True)
    return goes_on(ground, bot, run)


def restarted(ground: Ground) -> str:
    """Killed, and started again with what it had written."""
    bot, run = in_mid_migration(ground)
    ground.crash("redis", 1)
    return goes_on(ground, bot, run)


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
    return goes_on(ground, bot, run)


def keys_evicted(ground: Ground) -> str:
    """A part of what belongs together is gone, as an eviction would leave it."""
    bot, run = in_mid_migration(ground)
    keys = sorted(ground.redis.scan_iter(f"reembed:{{{run.id}}}:*"))
    assert keys, "there was nothing to evict"
    random.Random(5).shuffle(keys)
    ground.redis.delete(*keys[::2])
    return f"{len(keys[::2])} of {len(keys)} keys evicted; {goes_on(ground, bot, run)}"
