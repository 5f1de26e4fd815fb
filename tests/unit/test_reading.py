"""One read for neighbouring batches gives each exactly its own chunks."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from migrations.model.chunks import KeyRange
from migrations.model.errors import CheckpointsLost, VectorStoreUnavailable
from migrations.model.runs import Migration
from migrations.run.run import Run
from tests.fakes.world import World

#: 24 chunks in batches of three are eight batches.
CHUNKS, BATCHES = 24, 8


def planned(batches_per_read: int = 4, **settings: int) -> tuple[World, Run, list[KeyRange]]:
    """A migration whose batches wait, a run of it, and each batch's range."""
    world = World(CHUNKS, settings={"batches_per_read": batches_per_read, **settings})
    migration = world.start()
    world.deliver(before="migrations.batch")
    run = world.run_of(migration)
    ranges = world.checkpoints.batch_ranges(migration.id, 0, BATCHES)
    return world, run, ranges


def keys(run: Run, index: int, within: KeyRange) -> list[str]:
    return [str(chunk.key) for chunk in run.reads.chunks_of(run, index, within)]


@pytest.mark.parametrize("batches_per_read", [1, 3, 4, 100])
def test_every_batch_gets_its_own_chunks_in_key_order(batches_per_read: int) -> None:
    _, run, ranges = planned(batches_per_read)
    found = [keys(run, i, within) for i, within in enumerate(ranges)]
    assert [[f"k{3 * i + j:03}" for j in range(3)] for i in range(BATCHES)] == found


def test_neighbours_are_read_once() -> None:
    world, run, ranges = planned(batches_per_read=4)
    for i in (2, 0, 3, 1, 5, 4):
        keys(run, i, ranges[i])
    assert 2 == world.vectors.calls["read"]


def test_as_many_threads_as_there_are_neighbours_read_once() -> None:
    world, run, ranges = planned(batches_per_read=8)
    with ThreadPoolExecutor(BATCHES) as pool:
        found = list(pool.map(lambda i: keys(run, i, ranges[i]), range(BATCHES)))
    assert CHUNKS == len({key for part in found for key in part})
    assert 1 == world.vectors.calls["read"]


def test_what_was_written_into_a_range_since_it_was_planned_belongs_to_it() -> None:
    world, run, ranges = planned()
    world.write("k0015", "between k001 and k002")
    assert ["k000", "k001", "k0015", "k002"] == keys(run, 0, ranges[0])


def test_a_read_that_failed_is_made_by_the_next_who_asks() -> None:
    world, run, ranges = planned()
    world.vectors.fail("read", VectorStoreUnavailable())
    with pytest.raises(VectorStoreUnavailable):
        keys(run, 0, ranges[0])
    assert ["k003", "k004", "k005"] == keys(run, 1, ranges[1])


def test_a_range_of_another_plan_is_read_for_itself() -> None:
    _, run, ranges = planned()
    keys(run, 0, ranges[0])
    assert ["k011", "k012"] == keys(run, 0, KeyRange("k010", "k012"))


def test_without_checkpoints_nothing_is_read_ahead() -> None:
    world, run, ranges = planned()
    world.checkpoints.forget(run.migration.id)
    with pytest.raises(CheckpointsLost):
        keys(run, 0, ranges[0])


def test_only_the_last_few_reads_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrations.run.shared_reads.KEPT_READS", 1)
    world, run, ranges = planned(batches_per_read=2)
    for i in (0, 2, 1):
        keys(run, i, ranges[i])
    assert 3 == world.vectors.calls["read"]


def test_no_more_chunks_are_read_at_once_than_a_worker_s_memory_is_meant_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("migrations.run.shared_reads.MOST_CHUNKS", 6)
    world, run, ranges = planned(batches_per_read=8)
    for i in range(BATCHES):
        keys(run, i, ranges[i])
    assert 4 == world.vectors.calls["read"]


def test_a_collection_is_described_once_however_many_ask() -> None:
    world, run, _ = planned()
    described = world.vectors.calls["describe"]
    with ThreadPoolExecutor(BATCHES) as pool:
        found = list(pool.map(lambda _: run.target, range(BATCHES)))
    assert {run.migration.target_collection} == {schema.name for schema in found}
    assert 1 == world.vectors.calls["describe"] - described


def test_a_description_that_failed_is_asked_for_by_the_next() -> None:
    world, run, _ = planned()
    world.vectors.fail("describe", VectorStoreUnavailable())
    with pytest.raises(VectorStoreUnavailable):
        _ = run.source
    assert run.migration.source_collection == run.source.name


def test_batches_that_begin_at_the_same_moment_load_their_migration_once() -> None:
    world, run, ranges = planned()
    migration, load = run.migration, world.store.migration
    loaded: list[UUID] = []

    def watched(migration_id: UUID) -> Migration:
        loaded.append(migration_id)
        time.sleep(0.01)  # so that the others come meanwhile
        return load(migration_id)

    world.store.migration = watched  # type: ignore[method-assign]

    def run_batch(index: int) -> str:
        found = world.conductor.run_batch(migration.id, migration.epoch, index, ranges[index])
        return str(found["outcome"])

    with ThreadPoolExecutor(BATCHES) as pool:
        outcomes = list(pool.map(run_batch, range(BATCHES)))
    assert {"done"} == set(outcomes)
    assert 1 == len(loaded)
