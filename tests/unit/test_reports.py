"""Progress: the same story whether Redis remembers or not."""

from __future__ import annotations

import pytest

from migrations.model.errors import ProviderUnavailable
from migrations.model.progress import MigrationProgress
from migrations.model.states import Phase, Status
from tests.fakes.world import OWNER, World


def progress(world: World) -> MigrationProgress:
    return world.system.progress(OWNER, world.store.latest("bot").id)


def half_way(world: World) -> None:
    """Two of four batches are done, and their advance has been heard."""
    world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop(0))
    for name in ["migrations.batch", "migrations.batch", "migrations.advance"]:
        tasks = world.pending()
        place = next(i for i, task in enumerate(tasks) if task.name == name)
        world.clock.sleep(2)
        world.work(tasks.pop(place))


def test_nothing_has_moved_at_the_start() -> None:
    world = World(12)
    world.start()
    now = progress(world)
    assert (Status.PENDING, Phase.VALIDATION) == (now.status, now.phase)
    assert (0, 0, 0, 0.0) == (
        now.processed_chunks,
        now.current_batch,
        now.tokens_used,
        now.chunks_per_second,
    )
    assert None is now.estimated_completion


def test_half_way_it_counts_chunks_and_batches_and_says_when_it_will_be_done() -> None:
    world = World(12)
    half_way(world)
    now = progress(world)
    assert (6, 12, 50.0) == (now.processed_chunks, now.total_chunks, now.percent)
    assert (2, 4) == (now.current_batch, now.total_batches)
    assert 1.0 == now.chunks_per_second
    assert 6.0 == (now.estimated_completion - world.clock.now()).total_seconds()  # type: ignore[operator]
    assert now.tokens_used > 0


def test_the_rate_is_that_of_the_last_minute_and_ends_when_nothing_moves() -> None:
    world = World(12)
    half_way(world)
    world.clock.sleep(54)
    assert 0.1 == progress(world).chunks_per_second
    world.clock.sleep(60)
    now = progress(world)
    assert (0.0, None) == (now.chunks_per_second, now.estimated_completion)
    assert 0.05 == now.average_chunks_per_second


def test_there_is_no_rate_and_no_end_in_sight_while_it_is_undone() -> None:
    world = World(12)
    half_way(world)
    world.system.cancel(OWNER, "bot")
    now = progress(world)
    assert (Status.ROLLING_BACK, 0.0, None) == (
        now.status,
        now.chunks_per_second,
        now.estimated_completion,
    )
    assert 1.0 == now.average_chunks_per_second


def test_a_run_that_was_undone_keeps_how_far_it_was() -> None:
    world = World(12)
    world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop(0))
    world.work(next(task for task in world.pending() if task.name == "migrations.batch"))
    world.system.cancel(OWNER, "bot")
    world.deliver()
    now = progress(world)
    assert (Status.ROLLED_BACK, 3, 12, 25.0) == (
        now.status,
        now.processed_chunks,
        now.total_chunks,
        now.percent,
    )
    assert (1, 4) == (now.current_batch, now.total_batches)


@pytest.mark.parametrize("how", ["gone", "away"])
def test_without_redis_it_shows_what_postgresql_last_heard(how: str) -> None:
    world = World(12)
    half_way(world)
    before = progress(world)
    world.checkpoints.lose_everything() if how == "gone" else None
    world.checkpoints.reachable = how == "gone"
    now = progress(world)
    assert before.processed_chunks == now.processed_chunks
    assert before.total_chunks == now.total_chunks
    assert (before.current_batch, before.total_batches) == (now.current_batch, now.total_batches)


def test_it_never_goes_backwards_when_a_run_is_driven_again() -> None:
    world = World(12)
    half_way(world)
    world.checkpoints.lose_everything()
    world.queue.clear()
    world.look_later()
    seen = []
    while world.pending():
        world.work(world.queue.pop(0))
        seen.append(progress(world).processed_chunks)
    assert sorted(seen) == seen
    assert 12 == seen[-1]


def test_at_the_end_everything_is_counted_although_the_checkpoints_are_forgotten() -> None:
    world = World(12)
    migration = world.complete()
    now = progress(world)
    assert None is world.checkpoints.plan(migration.id)
    assert (12, 12, 100.0) == (now.processed_chunks, now.total_chunks, now.percent)
    assert (4, 4) == (now.current_batch, now.total_batches)
    assert now.finished_at is not None
    assert None is now.estimated_completion


def test_an_empty_collection_is_whole_when_it_is_done() -> None:
    world = World(0)
    world.complete()
    assert 100.0 == progress(world).percent


def test_each_phase_shows_when_it_began_and_ended() -> None:
    world = World()
    world.start_at(Phase.BACKUP_CREATION)
    times = {each.phase: each for each in progress(world).phases}
    assert list(Phase) == list(times)
    assert times[Phase.VALIDATION].finished_at is not None
    assert None is times[Phase.CLEANUP].started_at


def test_failed_chunks_are_listed_with_their_reason() -> None:
    world = World()
    world.write("k005", "poison")
    world.embedders.refuse("poison")
    world.complete(max_failed_ratio=0.5)
    now = progress(world)
    assert 1 == now.failed_chunks
    assert [("k005", "text-refused", "refused: poison")] == [
        (chunk.key, chunk.code, chunk.message) for chunk in now.failed
    ]


def test_an_error_keeps_its_phase_and_words() -> None:
    world = World()
    world.start_at(Phase.DATA_MIGRATION)
    world.system.cancel(OWNER, "bot")
    error = progress(world).error or {}
    assert ("cancelled", "new_collection_creation") == (error["code"], error["phase"])


def test_what_is_waited_for_is_shown_and_taken_back() -> None:
    world = World()
    world.start_at(Phase.DATA_MIGRATION, retry_delay=1.0)
    world.embedders.fail(ProviderUnavailable("away"), times=4)
    shown: list[str | None] = []
    world.embedders.on_embed = lambda texts: shown.append(progress(world).waiting_for)
    world.deliver()
    assert "away" in shown
    assert None is progress(world).waiting_for
