"""What only the real Checkpoints can break: parts lost, Redis gone, memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from migrations.adapters.checkpoints.checkpoints import KEEP_SECONDS, RedisCheckpoints
from migrations.model.chunks import Key, KeyRange
from migrations.model.errors import CheckpointsLost, CheckpointsUnavailable
from migrations.ports.checkpoints import Checkpoints, Counters, Plan
from tests.contract.test_checkpoints import NEEDS_A_PLAN
from tests.contract.volatile_redis import VolatileRedis, volatile_redis


@pytest.fixture
def migration() -> UUID:
    return uuid4()


@pytest.fixture
def checkpoints(redis_server: Any) -> RedisCheckpoints:
    return RedisCheckpoints(redis_server.url)


@pytest.fixture
def client(redis_server: Any) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as connected:
        yield connected


@pytest.fixture
def volatile(tmp_path: Path) -> Iterator[VolatileRedis]:
    with volatile_redis(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    ("policy", "maxmemory", "said"),
    [
        ("allkeys-lru", "100mb", "allkeys-lru"),
        ("volatile-ttl", "100mb", "volatile-ttl"),
        ("noeviction", "100mb", None),
        ("allkeys-lru", "0", None),  # without a limit nothing is evicted
    ],
)
def test_a_policy_by_which_keys_may_go_is_named(
    volatile: VolatileRedis, policy: str, maxmemory: str, said: str | None
) -> None:
    with Redis.from_url(volatile.url) as client:
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", maxmemory)
    assert said == RedisCheckpoints(volatile.url).eviction_policy()


def test_a_redis_that_is_full_says_that_it_takes_no_writes(volatile: VolatileRedis) -> None:
    checkpoints = RedisCheckpoints(volatile.url)
    well = checkpoints.condition()
    assert (None, None, 0.0, False) == (
        well.refusal,
        well.evicts_by,
        well.memory_share,
        well.keeps_on_disk,
    )
    with Redis.from_url(volatile.url) as client:
        client.config_set("maxmemory", "500kb")
        full = checkpoints.condition()
        client.config_set("maxmemory", "0")
        client.config_set("save", "60 1")
        client.replicaof("127.0.0.1", "1")
        replica = checkpoints.condition()
    assert (True, True) == (full.refusal.startswith("OOM"), full.memory_share > 0.5)  # type: ignore[union-attr] # or it fails
    assert (True, True) == (replica.refusal.startswith("READONLY"), replica.keeps_on_disk)  # type: ignore[union-attr] # or it fails


def plan(checkpoints: Checkpoints, migration: UUID, borders: list[Key]) -> None:
    checkpoints.start_plan(migration, 50)
    checkpoints.append_borders(migration, borders, 50 * len(borders))
    checkpoints.seal_plan(migration)


def use_everything(checkpoints: Checkpoints, migration: UUID) -> AbstractContextManager[bool]:
    """Leave every kind of key behind; the lease is held as long as the caller keeps it."""
    plan(checkpoints, migration, ["b", "d", "f"])
    checkpoints.mark_done(migration, 0, Counters(50))
    checkpoints.note_slice(migration, 1, Counters(20))
    checkpoints.claim(migration, "wave 0")
    lease = checkpoints.lease(migration, 1, 1, 60)
    lease.__enter__()
    return lease


def keys_of(client: Redis, migration: UUID) -> list[bytes]:
    return list(client.scan_iter(f"reembed:{{{migration}}}:*", count=1000))


@pytest.mark.parametrize("method", NEEDS_A_PLAN)
@pytest.mark.parametrize("part", ["plan", "borders", "done", "tally"])
def test_a_plan_that_has_lost_a_part_is_lost_as_a_whole(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID, part: str, method: str
) -> None:
    use_everything(checkpoints, migration)
    client.delete(f"reembed:{{{migration}}}:{part}")

    with pytest.raises(CheckpointsLost):
        NEEDS_A_PLAN[method](checkpoints, migration)

    assert checkpoints.plan(migration) is None


def test_borders_that_are_fewer_than_the_header_says_yield_no_range(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID
) -> None:
    plan(checkpoints, migration, ["b", "d", "f"])
    client.lpop(f"reembed:{{{migration}}}:borders")

    with pytest.raises(CheckpointsLost):
        checkpoints.batch_ranges(migration, 1, 1)


def test_a_bitmap_that_disagrees_with_the_tally_is_not_believed(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID
) -> None:
    plan(checkpoints, migration, ["b", "d", "f"])
    client.setbit(f"reembed:{{{migration}}}:done", 2, 1)

    with pytest.raises(CheckpointsLost):
        checkpoints.done_count(migration)


def test_a_planner_that_was_overtaken_adds_nothing_to_the_newer_plan(
    checkpoints: RedisCheckpoints, redis_server: Any, migration: UUID
) -> None:
    successor = RedisCheckpoints(redis_server.url)
    checkpoints.start_plan(migration, 50)
    checkpoints.append_borders(migration, ["b"], 50)
    successor.start_plan(migration, 50)
    successor.append_borders(migration, ["c"], 50)

    with pytest.raises(CheckpointsLost):
        checkpoints.append_borders(migration, ["d"], 50)
    with pytest.raises(CheckpointsLost):
        checkpoints.seal_plan(migration)

    assert [KeyRange(None, "c")] == successor.batch_ranges(migration, 0, 1)
    assert Plan(50, 50, 1, True) == successor.seal_plan(migration)


def test_after_a_flush_the_plan_is_lost_and_can_be_made_anew(
    volatile: VolatileRedis, migration: UUID
) -> None:
    checkpoints = RedisCheckpoints(volatile.url)
    use_everything(checkpoints, migration)

    with Redis.from_url(volatile.url) as client:
        client.flushall()
    assert checkpoints.plan(migration) is None
    with pytest.raises(CheckpointsLost):
        checkpoints.mark_done(migration, 1, Counters(50))
    plan(checkpoints, migration, ["c"])

    assert [0] == checkpoints.undone(migration, 0, 10)


def test_a_plan_being_built_does_not_go_on_after_a_flush(
    volatile: VolatileRedis, migration: UUID
) -> None:
    checkpoints = RedisCheckpoints(volatile.url)
    checkpoints.start_plan(migration, 50)
    checkpoints.append_borders(migration, ["b"], 50)

    with Redis.from_url(volatile.url) as client:
        client.flushall()

    with pytest.raises(CheckpointsLost):
        checkpoints.append_borders(migration, ["d"], 50)


def test_a_restarted_empty_redis_is_met_without_a_failed_call(
    volatile: VolatileRedis, migration: UUID
) -> None:
    checkpoints = RedisCheckpoints(volatile.url)
    use_everything(checkpoints, migration)

    volatile.stop()
    volatile.start()

    assert checkpoints.plan(migration) is None
    plan(checkpoints, migration, ["b", "d"])
    assert checkpoints.mark_done(migration, 1, Counters(50))


def test_while_redis_is_down_every_call_says_so_and_keeps_the_cause(
    volatile: VolatileRedis, migration: UUID
) -> None:
    checkpoints = RedisCheckpoints(volatile.url, timeout_seconds=0.5)
    checkpoints.start_plan(migration, 50)
    volatile.stop()

    calls = NEEDS_A_PLAN | {
        "start_plan": lambda c, m: c.start_plan(m, 50),
        "plan": lambda c, m: c.plan(m),
        "claim": lambda c, m: c.claim(m, "wave 0"),
        "lease": lambda c, m: c.lease(m, 1, 0, 60).__enter__(),
        "in_flight": lambda c, m: c.in_flight(m),
        "forget": lambda c, m: c.forget(m),
    }
    for call in calls.values():
        with pytest.raises(CheckpointsUnavailable) as caught:
            call(checkpoints, migration)
        assert isinstance(caught.value.__cause__, RedisError)


def test_a_lease_whose_release_fails_does_not_hide_what_its_body_raised(
    volatile: VolatileRedis, migration: UUID
) -> None:
    checkpoints = RedisCheckpoints(volatile.url, timeout_seconds=0.5)

    def work() -> None:
        with checkpoints.lease(migration, 1, 0, 60):
            volatile.stop()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


def test_every_key_expires_and_using_it_again_prolongs_them_all(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID
) -> None:
    checkpoints.start_plan(migration, 50)
    assert all(0 < client.ttl(key) for key in keys_of(client, migration))
    lease = use_everything(checkpoints, migration)
    keys = [key for key in keys_of(client, migration) if not key.endswith(b":pace")]
    assert 0 < client.ttl(f"reembed:{{{migration}}}:pace") <= 120
    assert [True] * 7 == [0 < client.ttl(key) <= KEEP_SECONDS for key in keys]

    for key in keys:
        client.expire(key, 100)
    checkpoints.mark_done(migration, 2, Counters(50))
    checkpoints.claim(migration, "wave 1")
    with checkpoints.lease(migration, 1, 2, 60):
        pass

    assert all(client.ttl(key) > KEEP_SECONDS - 100 for key in keys)
    lease.__exit__(None, None, None)


def test_what_was_moved_more_than_a_minute_ago_is_forgotten(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID
) -> None:
    plan(checkpoints, migration, list(range(8)))
    pace, step = f"reembed:{{{migration}}}:pace", client.time()[0] // 5
    client.hset(pace, mapping={str(step - ago): 100 for ago in (1, *range(13, 30))})
    seen = checkpoints.snapshot(migration).lately
    assert (100, True) == (seen.chunks, 55 <= seen.seconds <= 60)
    checkpoints.mark_done(migration, 0, Counters(50))
    assert 150 == checkpoints.snapshot(migration).lately.chunks
    assert {int(step) for step in client.hkeys(pace)} <= set(range(step - 12, step + 2))


def test_all_keys_of_a_migration_live_on_one_node_of_a_cluster(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID
) -> None:
    lease = use_everything(checkpoints, migration)

    slots = {key_slot(key) for key in keys_of(client, migration)}
    lease.__exit__(None, None, None)

    assert {key_slot(str(migration).encode())} == slots


def test_forgetting_leaves_no_key(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID
) -> None:
    lease = use_everything(checkpoints, migration)

    checkpoints.forget(migration)
    lease.__exit__(None, None, None)

    assert [] == keys_of(client, migration)


@pytest.mark.parametrize("keys", ["str", "int"])
def test_a_chunk_costs_at_most_four_bytes_of_redis(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID, keys: str
) -> None:
    batches = 20_000
    numbers = [10**15 + 7919 * batch for batch in range(batches)]
    plan(checkpoints, migration, numbers if keys == "int" else [f"doc-{n}" for n in numbers])
    checkpoints.mark_done(migration, batches - 1, Counters(50))

    used = sum(client.memory_usage(name, samples=0) for name in keys_of(client, migration))

    per_chunk = used / (50 * batches)
    print(f"{keys}: {per_chunk:.3f} bytes per chunk")
    assert per_chunk <= 4
    assert 0.1 < per_chunk  # it was measured at all


def test_undone_batches_are_found_across_the_whole_bitmap(
    checkpoints: RedisCheckpoints, client: Redis, migration: UUID
) -> None:
    batches, left = 200_000, [3, 70_001, 70_002, 131_071, 199_999]
    plan(checkpoints, migration, list(range(batches)))
    done = bytearray(b"\xff" * (batches // 8 + 1))
    for batch in left:
        done[(batch + 1) // 8] ^= 0x80 >> ((batch + 1) % 8)
    client.set(f"reembed:{{{migration}}}:done", bytes(done))

    assert left == checkpoints.undone(migration, 0, 10)
    assert left[:2] == checkpoints.undone(migration, 0, 2)
    assert left[2:] == checkpoints.undone(migration, 70_002, 10)
    # The marks of a plan that has just begun do not reach as far as its batches.
    client.set(f"reembed:{{{migration}}}:done", b"\xff")
    assert list(range(7, 60_007)) == checkpoints.undone(migration, 0, 60_000)


def test_the_last_undone_of_many_batches_is_found_in_two_steps(
    volatile: VolatileRedis, migration: UUID
) -> None:
    # On a server of its own, whose command counter nobody else moves.
    checkpoints, client = RedisCheckpoints(volatile.url), Redis.from_url(volatile.url)
    batches = 200_000
    plan(checkpoints, migration, list(range(batches)))
    client.set(f"reembed:{{{migration}}}:done", b"\xff" * (batches // 8))
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]

    found = checkpoints.undone(migration, 0, 64)

    after = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    client.close()
    assert [batches - 1] == found
    assert after - before <= 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads is the point
def test_a_forked_process_gets_a_connection_of_its_own(
    checkpoints: RedisCheckpoints, migration: UUID
) -> None:
    plan(checkpoints, migration, [*range(40)])
    fork = multiprocessing.get_context("fork")
    children = [
        fork.Process(target=_mark, args=(checkpoints, migration, range(first, 40, 4)))
        for first in range(1, 4)
    ]

    for child in children:
        child.start()
    _mark(checkpoints, migration, range(0, 40, 4))
    for child in children:
        child.join(30)

    assert [0, 0, 0] == [child.exitcode for child in children]
    assert Counters(40) == checkpoints.counters(migration)


def _mark(checkpoints: RedisCheckpoints, migration: UUID, batches: range) -> None:
    for batch in batches:
        assert checkpoints.mark_done(migration, batch, Counters(1))
