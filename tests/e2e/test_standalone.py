"""On the real Milvus: many chunks there and back, and a target that waits for its index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pymilvus.client.types import LoadState

from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from tests.harness import rows
from tests.harness.oracle import wrongly_embedded
from tests.harness.world import LARGE, SMALL, Servers, World
from tests.services.databases import fresh_database, fresh_redis

CHUNKS = 20_000


@pytest.fixture(scope="module")
def servers(
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_standalone_server: MilvusStandaloneServer,
    database_template: str,
) -> Iterator[Servers]:
    with fresh_database(postgres_server, database_template) as database:
        yield Servers(fresh_redis(redis_server), database, milvus_standalone_server.url)


@pytest.fixture
def world(servers: Servers, tmp_path: Path) -> Iterator[World]:
    """Without failpoints, as in production."""
    with World(servers, tmp_path, quick=False, with_failpoints=False) as world:
        yield world


def test_twenty_thousand_chunks_go_to_another_model_and_back_without_a_trace(
    world: World,
) -> None:
    bot = world.seed_bot(CHUNKS)
    keys, row = list(bot.history.initial), bot.row()
    untouched = world.digest(bot)

    run = bot.start(LARGE)
    seen = run.ends("completed", 150)
    assert (CHUNKS, CHUNKS, 0) == (
        seen["total_chunks"],
        seen["processed_chunks"],
        seen["failed_chunks"],
    )
    new, model = bot.pair()
    assert LARGE == model
    found = rows.read_all(world.milvus, new, keys)
    assert set(keys) == {one.key for one in found}
    assert CHUNKS == len(found) == rows.count(world.milvus, new), "a key stands twice"
    assert [] == wrongly_embedded(found, LARGE)
    assert {(LARGE.dimension,)} == {np.shape(one.vector) for one in found}
    assert untouched == world.digest(bot)

    run.roll_back().ends("completed", 150)
    after = bot.row()
    for field in ("alias", "collection", "embedding", "key_field", "text_field", "vector_field"):
        assert row[field] == after[field]
    assert (bot.collection, SMALL) == bot.pair()
    assert bot.collection == rows.points_to(world.milvus, bot.alias)
    assert untouched == world.digest(bot), "the old collection was touched"
    world.assert_all_well(bot)


def test_a_target_that_waits_for_its_index_is_not_loaded_before_and_outlives_a_worker(
    servers: Servers, tmp_path: Path
) -> None:
    with World(servers, tmp_path, {"REEMBED_UNINDEXED_ROWS": "1000"}) as world:
        bot = world.seed_bot(3_000)
        world.provider.latency_seconds = 0.3
        run = bot.start(LARGE)
        run.wait_for(lambda seen: seen["processed_chunks"] >= 500)
        target = bot.status()["migration"]["target_collection"]
        assert not is_loaded(world, target)
        world.kill("batch")
        world.restart(["batch"])
        run.ends("completed", 150)
        assert (target, LARGE) == bot.pair()
        assert is_loaded(world, target)
        world.assert_all_well(bot)


def is_loaded(world: World, collection: str) -> bool:
    return bool(world.milvus.get_load_state(collection)["state"] == LoadState.Loaded)
