"""On the real Milvus: many chunks there and back, and a target that waits for its index."""

from __future__ import annotations

import numpy as np
import pytest
from pymilvus.client.types import LoadState

from tests.harness import rows
from tests.harness.oracle import wrongly_embedded
from tests.harness.world import LARGE, SMALL, World
from tests.scenarios import trial

#: Enough for an index: Milvus makes none below 1,024 rows.
CHUNKS = 3_000
#: So few may be searched without one.
FEW_CHUNKS = 250


@pytest.fixture
def world(standalone_world: World) -> World:
    return standalone_world


def test_thousands_of_chunks_go_to_another_model_and_back_without_a_trace_though_a_worker_dies(
    world: World,
) -> None:
    bot = world.seed_bot(CHUNKS)
    keys, row = list(bot.history.initial), bot.row()
    untouched = world.digest(bot)

    world.provider.latency_seconds = 0.3
    run = bot.start(LARGE)
    run.wait_for(lambda seen: seen["processed_chunks"] >= CHUNKS / 10)
    target = bot.status()["migration"]["target_collection"]
    assert not is_loaded(world, target)
    world.kill("batch")
    world.restart(["batch"])
    world.provider.latency_seconds = 0
    seen = run.ends("completed", 150)
    assert (CHUNKS, CHUNKS, 0) == (
        seen["total_chunks"],
        seen["processed_chunks"],
        seen["failed_chunks"],
    )
    assert (target, LARGE) == bot.pair()
    assert is_loaded(world, target)
    found = rows.read_all(world.milvus, target, keys)
    assert set(keys) == {one.key for one in found}
    assert CHUNKS == len(found) == rows.count(world.milvus, target), "a key stands twice"
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


def test_a_model_is_tried_on_some_chunks_and_nothing_is_left_of_it(world: World) -> None:
    trial.leaves_nothing_behind(world)


def test_a_target_that_may_be_searched_unindexed_is_moved_to_at_once(world: World) -> None:
    bot = world.seed_bot(FEW_CHUNKS)
    world.provider.latency_seconds = 3
    run = bot.start(LARGE, batch_size=5)
    run.wait_for(lambda seen: seen["processed_chunks"] > 0)
    target = bot.status()["migration"]["target_collection"]
    seen = run.wait_for(lambda seen: is_loaded(world, target))
    assert "data_migration" == seen["phase"], "it is loaded while it is filled"
    world.provider.latency_seconds = 0
    run.ends("completed")
    assert (target, LARGE) == bot.pair()
    world.assert_all_well(bot)


def is_loaded(world: World, collection: str) -> bool:
    return bool(world.milvus.get_load_state(collection)["state"] == LoadState.Loaded)
