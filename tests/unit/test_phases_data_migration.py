"""Planning, the waves' end and catching up: no chunk left out, none paid for twice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from migrations.model.chunks import KeyRange
from migrations.model.errors import ProviderUnavailable, TextRefused
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.phases import data_migration
from tests.fakes.embedders import LARGE
from tests.fakes.world import OWNER, SOURCE, World, failpoints_reach, kill

CATCH_UP = "migrations.catch_up"


def embeddings(world: World) -> int:
    """Texts the target's model was asked for and has answered."""
    return sum(
        times for (model, _), times in world.embedders.embedded.items() if model == LARGE.model
    )


def test_the_keys_are_cut_into_batches_of_exactly_batch_size_and_a_short_last_one() -> None:
    world = World(8)
    migration = world.start_at(Phase.DATA_MIGRATION, batch_size=3)
    world.work(world.pending().pop())
    plan = world.checkpoints.plan(migration.id)
    ranges = world.checkpoints.batch_ranges(migration.id, 0, 3)
    assert (3, 8, 3, True) == (
        plan.batch_size,
        plan.total_chunks,
        plan.total_batches,
        plan.complete,
    )
    assert [KeyRange(None, "k002"), KeyRange("k002", "k005"), KeyRange("k005", "k007")] == ranges


@pytest.mark.parametrize("chunks", [0, 1, 3, 4])
def test_a_collection_of_any_size_moves_whole(chunks: int) -> None:
    world = World(chunks)
    migration = world.complete(batch_size=3)
    assert Status.COMPLETED == migration.status
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)
    assert [] == world.wrongly_embedded(migration.target_collection, LARGE)


def test_each_text_is_paid_for_once() -> None:
    world = World(10)
    world.complete(verify_migration=False)
    probes_of_validation = 2
    assert 10 + probes_of_validation == embeddings(world)


def test_keys_written_behind_and_beyond_the_plan_are_caught_up() -> None:
    world = World(10)
    migration = world.start()
    world.deliver(before="migrations.advance")
    world.write("a-before-all", "one")
    world.write("z-after-all", "two")
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)
    assert [] == world.wrongly_embedded(migration.target_collection, LARGE)


def test_a_changed_text_is_embedded_again() -> None:
    world = World()
    migration = world.start()
    world.deliver(before=CATCH_UP)
    world.write("k003", "another text")
    world.deliver()
    assert "another text" == world.texts_of(migration.target_collection)["k003"]
    assert [] == world.wrongly_embedded(migration.target_collection, LARGE)


def test_a_change_of_metadata_alone_is_copied_and_not_paid_for() -> None:
    world = World()
    migration = world.start(verify_migration=False)
    world.deliver(before=CATCH_UP)
    before = embeddings(world)
    world.write("k003", "text 3", page=99)
    world.deliver()
    fields, _ = world.contents(migration.target_collection)["k003"]
    assert 99 == fields["page"]
    assert before == embeddings(world)
    assert [] == world.wrongly_embedded(migration.target_collection, LARGE)


def test_a_deleted_chunk_is_deleted_from_the_target() -> None:
    world = World()
    migration = world.start()
    world.deliver(before=CATCH_UP)
    world.vectors.remove(SOURCE, "k003")
    world.deliver()
    assert "k003" not in world.texts_of(migration.target_collection)


AFTER_PASS = "data_migration.after_catch_up_pass"


def caught_up(world: World, *written: int) -> tuple[Migration, dict[str, Any]]:
    """Catch up while so many chunks are written before each pass, and none before later ones."""
    migration = world.start()
    world.deliver(before=CATCH_UP)

    def write(chunks: int, number: int) -> None:
        for chunk in range(chunks):
            world.write(f"w{number}-{chunk}", "busy")

    first, *later = (partial(write, chunks, number) for number, chunks in enumerate(written))
    first()
    with world.at(AFTER_PASS, *later):
        run = world.run_of(migration)
        world.store.begin_phase(migration.id, 1, Phase.DATA_MIGRATION)
        return migration, data_migration.catch_up(run)


def test_writers_who_never_pause_end_in_a_warning_and_not_in_a_loop() -> None:
    _, found = caught_up(World(), 2, 2, 2, 2)
    assert [
        "Writers did not pause in 2 catch-up passes; the last one still applied 2 changes."
    ] == found.warnings


def test_passes_that_find_ever_less_go_on_until_one_is_quiet() -> None:
    world = World()
    migration, found = caught_up(world, 8, 4, 2, 1)
    assert [] == found.warnings
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)


def test_there_are_no_more_passes_than_permitted() -> None:
    _, found = caught_up(World(settings={"catch_up_max_passes": 2}), 8, 4, 2, 1)
    assert [
        "Writers did not pause in 2 catch-up passes; the last one still applied 4 changes."
    ] == found.warnings


def test_what_all_passes_have_stored_is_flushed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, flushed = World(), list[str]()
    flush = world.vectors.flush
    monkeypatch.setattr(world.vectors, "flush", lambda name: (flushed.append(name), flush(name)))
    migration, _ = caught_up(world, 8, 4, 2, 1)
    before_the_passes = 1
    assert [migration.target_collection] * (before_the_passes + 1) == flushed
    world.vectors.crash()
    assert 12 + 15 == len(world.texts_of(migration.target_collection))


def test_what_a_crash_takes_between_passes_and_flush_is_made_up_for() -> None:
    world = World()
    migration = world.start()
    world.deliver(before=CATCH_UP)
    world.write("w", "written meanwhile")
    world.vectors.flush(SOURCE)
    with world.at(AFTER_PASS, lambda: None, world.vectors.crash):
        world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)


# --- chunks that cannot be embedded ------------------------------------------------


def test_one_refused_chunk_rolls_the_migration_back() -> None:
    world = World()
    world.write("k005", "poison")
    world.embedders.refuse("poison")
    migration = world.complete()
    assert Status.ROLLED_BACK == migration.status
    assert "too-many-failed-chunks" == (migration.error or {})["code"]
    assert [SOURCE] == world.vectors.names()


def test_a_refused_chunk_within_the_permitted_ratio_is_left_out_and_listed() -> None:
    world = World()
    world.write("k005", "poison")
    world.embedders.refuse("poison")
    migration = world.complete(max_failed_ratio=0.1)
    expected = {k: t for k, t in world.texts_of(SOURCE).items() if k != "k005"}
    assert Status.COMPLETED == migration.status
    assert expected == world.texts_of(migration.target_collection)
    assert ["k005"] == [chunk.key for chunk in world.store.failed_chunks(migration.id)]
    assert 1 == migration.totals["failed_chunks"]


def test_a_chunk_that_failed_once_is_cured_by_the_last_pass() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.embedders.fail(TextRefused("a whim"), times=3, containing="text 5")
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)
    assert 0 == world.store.count_failed_chunks(migration.id)


def test_a_failure_that_a_killed_batch_recorded_is_forgotten_when_its_chunk_has_moved() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.embedders.fail(TextRefused("a whim"), times=3, containing="text 5")
    with world.at("batch.before_mark", lambda: None, kill):
        world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert 0 == world.store.count_failed_chunks(migration.id)


def test_a_refused_chunk_that_its_writer_deletes_no_longer_counts() -> None:
    world = World()
    world.write("k005", "poison")
    world.embedders.refuse("poison")
    migration = world.start()
    world.deliver(before=CATCH_UP)
    world.vectors.remove(SOURCE, "k005")
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert 0 == world.store.count_failed_chunks(migration.id)


def test_a_chunk_whose_new_text_is_refused_does_not_stay_with_its_old_text() -> None:
    world = World()
    migration = world.start(max_failed_ratio=0.1)
    world.deliver(before=CATCH_UP)
    world.embedders.refuse("poison")
    world.write("k003", "poison")
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert "k003" not in world.texts_of(migration.target_collection)


def test_a_chunk_the_migration_left_out_survives_its_rollback() -> None:
    world = World()
    world.write("k005", "poison")
    world.embedders.refuse("poison")
    before = world.contents(SOURCE)
    migration = world.complete(max_failed_ratio=0.1)
    world.embedders.recover()  # the old model takes what the new one refused
    world.system.rollback(OWNER, migration.id)
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert before == world.contents(SOURCE)


# --- again and backwards -----------------------------------------------------------


def test_a_doubled_message_plans_once_and_opens_no_wave_twice() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    doubled = world.pending()[0]
    world.pending().append(doubled)
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert 4 == world.ran.count("migrations.batch")


def test_a_run_driven_again_embeds_nothing_that_the_target_holds() -> None:
    world = World()
    migration = world.start(verify_migration=False)
    world.deliver(before="migrations.advance")
    paid = embeddings(world)
    world.queue.clear()
    world.checkpoints.lose_everything()
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert paid == embeddings(world)


def test_an_outage_of_the_provider_is_waited_out() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, retry_delay=2.0)
    world.embedders.fail(ProviderUnavailable(), times=12)
    begun = world.clock.monotonic()
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert world.clock.monotonic() - begun > 60


def test_undoing_it_forgets_the_checkpoints_and_leaves_the_source_alone() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    before = world.contents(SOURCE)
    data_migration.undo(world.run_of(migration))
    data_migration.undo(world.run_of(migration))
    assert None is world.checkpoints.plan(migration.id)
    assert before == world.contents(SOURCE)


@pytest.mark.parametrize(
    ("forgotten", "point"),
    [
        ("source", "batch.before_read"),
        ("target", "catch_up.before_run"),
        ("source", "verification.before_run"),
        ("target", "finalization.before_run"),
    ],
)
def test_a_collection_that_milvus_forgot_to_load_is_loaded_again(
    forgotten: str, point: str
) -> None:
    world = World(40)
    migration = world.start_at(Phase.DATA_MIGRATION)
    released = migration.source_collection if forgotten == "source" else migration.target_collection
    with world.at(point, lambda: world.vectors.release(released)):
        world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert world.vectors.is_loaded(released)


@pytest.mark.parametrize("point", ["batch.before_mark", "batch.before_upsert"])
def test_a_large_target_is_loaded_to_be_looked_into_by_the_workers_of_another_epoch(
    point: str,
) -> None:
    world = World(40, settings={"unindexed_rows": 0})
    migration = world.start_at(Phase.DATA_MIGRATION, batch_size=4)
    target, before = migration.target_collection, embeddings(world)
    waiting = [lambda: None, partial(world.elsewhere, world.look_later)]
    loaded_when_planned: list[bool] = []

    def reached(name: str, facts: Mapping[str, Any]) -> None:
        if name == point and waiting:
            waiting.pop(0)()
        if name == "data_migration.planned":
            loaded_when_planned.append(world.vectors.is_loaded(target))

    with failpoints_reach(reached):
        world.deliver(before="migrations.phase.verification")
    assert world.now(migration).epoch > 1
    assert [False, True] == loaded_when_planned, "batches must load it, each within its lease"
    paid_for_nothing = 0 if point == "batch.before_mark" else 4
    assert 40 + paid_for_nothing == embeddings(world) - before
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert world.texts_of(SOURCE) == world.texts_of(target)


def test_what_was_written_while_a_large_target_was_filled_is_caught_up() -> None:
    world = World(40, settings={"unindexed_rows": 0})
    migration = world.start_at(Phase.DATA_MIGRATION)
    write = partial(world.vectors.put, SOURCE, {"pk": "new", "text": "new", "page": 1})
    with world.at("catch_up.before_run", write):
        world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert "new" == world.texts_of(migration.target_collection)["new"]
