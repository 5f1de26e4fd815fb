"""A Redis that accepts connections and never answers holds nobody up for long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from migrations.adapters.checkpoints.checkpoints import RedisCheckpoints
from migrations.adapters.limiter.limiter import RedisRateLimiter
from migrations.model.errors import CheckpointsUnavailable
from tests.contract.volatile_redis import VolatileRedis, volatile_redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VolatileRedis]:
    with volatile_redis(tmp_path) as running:
        yield running


@pytest.mark.parametrize("connected_before", [True, False])
def test_checkpoints_give_up_after_twice_their_timeout(
    server: VolatileRedis, connected_before: bool
) -> None:
    checkpoints, migration = RedisCheckpoints(server.url, timeout_seconds=0.3), uuid4()
    if connected_before:
        checkpoints.claim(migration, "wave 0")

    with server.snapshot_of():
        began = time.monotonic()
        with pytest.raises(CheckpointsUnavailable):
            checkpoints.claim(migration, "wave 1")
        held_up_seconds = time.monotonic() - began

    assert held_up_seconds < 2
    assert checkpoints.claim(migration, "wave 2")


def test_only_the_first_of_many_asking_the_limiter_is_held_up(server: VolatileRedis) -> None:
    limiter = RedisRateLimiter(server.url)
    limiter.acquire(limiter.ticket("openai", 1))

    with server.snapshot_of():
        began = time.monotonic()
        waits = [limiter.acquire(limiter.ticket("openai", 1)) for _ in range(20)]
        held_up_seconds = time.monotonic() - began

    assert all(wait < 1 for wait in waits)
    assert held_up_seconds < 3
