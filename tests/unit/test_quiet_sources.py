"""Where nobody writes, the target is compared once: by verification, and by nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrations.model.errors import VectorStoreUnavailable
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.run.trust import Because, flush_meanwhile
from migrations.way_back.late_writes import sweep
from tests.fakes.world import OWNER, SOURCE, World, kill

CATCH_UP = "migrations.catch_up"
VERIFICATION = "migrations.phase.verification"


def watch_scans(world: World) -> list[str]:
    """The collection of each scan from now on."""
    scanned: list[str] = []
    pages = world.vectors._pages

    def watched(method, schema, *more, **options):  # type: ignore[no-untyped-def]
        if method == "scan":
            scanned.append(schema.name)
        return pages(method, schema, *more, **options)

    world.vectors._pages = watched  # type: ignore[method-assign]
    return scanned


def caught_up(world: World, migration: Migration) -> list[str]:
    """Let catching up begin and end; what it scanned."""
    scanned = watch_scans(world)
    world.deliver(before=VERIFICATION)
    assert "phase_completed" in world.told(migration)
    return scanned


def copied(**changes: object) -> tuple[World, Migration]:
    """A migration whose batches are done and that is about to catch up."""
    world = World(10)
    migration = world.start(batch_size=3, **changes)
    world.deliver(before=CATCH_UP)
    return world, migration


def same_texts(world: World, migration: Migration) -> bool:
    return world.texts_of(SOURCE) == world.texts_of(migration.target_collection)


def test_catching_up_with_a_source_as_the_batches_read_it_reads_no_more_than_that() -> None:
    world, migration = copied()
    assert [SOURCE] == caught_up(world, migration)
    assert 10 == world.now(migration).totals["processed_chunks"]


MEANWHILE: dict[str, Callable[[World, Migration], None]] = {
    "a new chunk": lambda w, m: w.write("new", "new"),
    "a changed text": lambda w, m: w.write("k003", "changed"),
    "a changed field": lambda w, m: w.write("k003", "text 3", page=77),
    "a chunk gone": lambda w, m: w.vectors.remove(SOURCE, "k003"),
    "a chunk gone and another come": lambda w, m: (
        w.vectors.remove(SOURCE, "k003"),
        w.write("new", "text 3"),
    )[0],
    "checkpoints lost": lambda w, m: w.checkpoints.lose_everything(),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_whatever_came_in_between_is_noticed_and_both_are_compared(what: str) -> None:
    world, migration = copied()
    MEANWHILE[what](world, migration)
    scanned = caught_up(world, migration)
    assert migration.target_collection in scanned
    assert same_texts(world, migration)


@pytest.mark.parametrize("what", ["a new chunk", "a changed text", "a chunk gone"])
def test_what_is_written_too_lately_for_planning_batches_and_catching_up_arrives(what: str) -> None:
    world = World(10)
    migration = world.start(batch_size=3)
    world.vectors.lagging = True  # nobody sees it who does not wait for it
    MEANWHILE[what](world, migration)
    assert migration.target_collection not in caught_up(world, migration)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert same_texts(world, migration)


def test_a_chunk_that_was_refused_is_tried_again_by_comparing() -> None:
    world = World(10)
    world.write("k003", "poison")
    world.embedders.refuse("poison")
    migration = world.start(batch_size=3, max_failed_ratio=0.5)
    world.deliver(before=CATCH_UP)
    world.embedders.recover()
    caught_up(world, migration)
    assert same_texts(world, migration)


def test_an_epoch_that_others_may_have_written_under_is_compared() -> None:
    world = World(10)
    migration = world.start(batch_size=3)
    with world.at("batch.before_mark", kill):
        world.deliver(before=CATCH_UP)
    world.look_later()
    world.deliver(before=CATCH_UP)
    assert 1 < world.now(migration).epoch
    assert migration.target_collection in caught_up(world, migration)


def lose_a_row(world: World, migration: Migration) -> None:
    world.vectors.remove(migration.target_collection, "k003")


#: When Milvus loses what it has not flushed, and how that looks.
LOSSES: dict[str, Callable[[World, Migration], None]] = {
    "before catching up": lambda w, m: w.vectors.crash(),
    "after catching up": lambda w, m: (caught_up(w, m), w.vectors.crash())[1],
    "after it was compared": lambda w, m: (
        caught_up(w, m),
        w.vectors.before("count", lambda: lose_a_row(w, m)),
    )[1],
    "after its answers were looked at": lambda w, m: (
        caught_up(w, m),
        w.vectors.before("search", lambda: lose_a_row(w, m)),
    )[1],
}


@pytest.mark.parametrize("when", LOSSES)
def test_what_milvus_loses_before_it_is_flushed_is_moved_again(when: str) -> None:
    world, migration = copied()
    LOSSES[when](world, migration)
    verification = crashed_after(world, migration).verification or {}
    assert same_texts(world, migration)
    said = {check["name"]: check["message"] for check in verification["checks"]}
    assert said["content"].startswith("10 chunks compared: 0 missing")
    assert said["vectors_of_their_text"].startswith("10 of 10 sampled")


def test_a_text_that_is_refused_in_verification_is_no_row_that_milvus_lost() -> None:
    world, migration = copied(max_failed_ratio=0.5)
    caught_up(world, migration)
    world.write("late", "poison")
    world.embedders.refuse("poison")
    scanned = watch_scans(world)
    world.deliver(before="migrations.phase.finalization")
    assert Phase.VERIFICATION in world.now(migration).completed_phases
    # Looked at, caught up, looked at again; two ranges each, the last one beyond all keys.
    assert 6 == scanned.count(migration.target_collection)


def test_a_row_that_is_lost_after_it_was_flushed_is_a_fault() -> None:
    world = World(10)
    migration = world.start(batch_size=3)
    world.deliver(before=CATCH_UP)
    world.write("new", "new")
    caught_up(world, migration)
    lose_a_row(world, migration)
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status


@pytest.mark.parametrize("refusals", [1, 2])
def test_verification_waits_for_the_flush_that_catching_up_left_to_it(refusals: int) -> None:
    world, migration = copied()
    caught_up(world, migration)
    world.vectors.fail("flush", VectorStoreUnavailable(), times=refusals)
    world.deliver(before="migrations.phase.finalization")
    assert Phase.VERIFICATION.value in world.now(migration).phase_times
    world.vectors.crash()
    assert same_texts(world, migration)


def test_where_unflushed_rows_are_slow_to_read_verification_flushes_before_it_compares() -> None:
    world, migration = copied()
    world.vectors.flushed_before_read = True
    caught_up(world, migration)
    paid = world.embedders.texts
    world.vectors.before("scan", world.vectors.crash)
    world.deliver(before="migrations.phase.finalization")
    assert same_texts(world, migration)
    assert paid + 10 == world.embedders.texts  # the sample of verification


def test_without_verification_catching_up_compares_and_flushes() -> None:
    world, migration = copied(verify_migration=False)
    assert migration.target_collection in caught_up(world, migration)
    world.vectors.crash()
    assert same_texts(world, migration)


def test_what_was_found_equal_by_comparing_survives_a_crash_before_verification() -> None:
    world = World(10)
    migration = world.start(batch_size=3)
    with world.at("batch.before_mark", kill):
        world.deliver(before=CATCH_UP)
    world.look_later()
    world.deliver(before=VERIFICATION)
    assert 1 < world.now(migration).epoch
    world.vectors.crash()
    assert same_texts(world, migration)


def crashed_after(world: World, migration: Migration) -> Migration:
    """The migration, completed, and Milvus crashed afterwards."""
    world.settle()
    world.vectors.crash()
    assert Status.COMPLETED == world.now(migration).status
    return world.now(migration)


def test_what_batches_of_a_later_epoch_stored_survives_a_crash_after_the_switch() -> None:
    world = World(10)
    migration = world.start(batch_size=3)
    with world.at("batch.before_mark", kill):
        world.deliver(before=CATCH_UP)
    world.look_later()
    crashed_after(world, migration)
    assert 1 < world.now(migration).epoch
    assert same_texts(world, migration)


def test_what_a_held_target_brought_along_survives_a_crash_after_the_switch() -> None:
    world = World(10, settings={"hold_hours": 24})
    world.start(batch_size=3)
    world.deliver(before=CATCH_UP)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    again = crashed_after(world, world.start(batch_size=3))
    assert again.target_adopted
    assert same_texts(world, again)


def test_what_a_way_back_finds_in_the_old_collection_survives_a_crash_after_it() -> None:
    world = World(10)
    migration = world.complete(batch_size=3)
    world.write("late", "written to both", collection=SOURCE)
    world.write("late", "written to both", collection=migration.target_collection)
    back = world.system.rollback(OWNER, migration.id).migration
    crashed_after(world, back)
    assert SOURCE == world.bot.live.collection
    assert "written to both" == world.texts_of(SOURCE)["late"]


# --- before the switch -----------------------------------------------------------


def switched(world: World, migration: Migration) -> list[str]:
    """Finalize; what was scanned for it."""
    scanned = watch_scans(world)
    world.deliver(before="migrations.phase.cleanup")
    assert migration.target_collection == world.bot.live.collection
    return scanned


def in_parts(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    for module in ("copying.comparison", "copying.snapshots", "way_back.late_writes"):
        monkeypatch.setattr(f"migrations.{module}.PAGE_SIZE", rows)


def test_the_last_catching_up_leaves_out_what_verification_has_found_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_parts(monkeypatch, 4)
    world = World(10)
    migration = world.start_at(Phase.FINALIZATION)
    scanned = switched(world, migration)
    # Three parts of the source; the empty one beyond its last key is compared.
    assert 1 == scanned.count(migration.target_collection)


@pytest.mark.parametrize("key", ["k000", "k005", "k009"])
def test_the_last_catching_up_compares_the_part_that_was_written_to(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    in_parts(monkeypatch, 4)
    world = World(10)
    migration = world.start_at(Phase.FINALIZATION)
    world.write(key, "written late")
    scanned = switched(world, migration)
    assert 3 == scanned.count(migration.target_collection)  # and what is beyond the part
    assert "written late" == world.texts_of(migration.target_collection)[key]


@pytest.mark.parametrize("key", ["a-first", "k0035-between", "z-last"])
def test_a_key_written_late_arrives_wherever_it_is(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    in_parts(monkeypatch, 4)
    world = World(10)
    migration = world.start_at(Phase.FINALIZATION)
    world.write(key, "written late")
    switched(world, migration)
    assert same_texts(world, migration)


def test_a_part_that_differed_when_it_was_verified_is_compared_again() -> None:
    world = World(10)
    migration = world.start_at(Phase.VERIFICATION)
    target = migration.target_collection
    # Written between the two looks of verification, so that it is no fault.
    world.vectors.before("count", lambda: world.write("k003", "between"))
    with world.at("verification.before_run", lambda: world.write("k001", "before")):
        world.deliver(before="migrations.phase.finalization")
    switched(world, world.now(migration))
    assert "between" == world.texts_of(target)["k003"]


def test_another_epoch_than_verifications_compares_everything() -> None:
    world = World(10)
    migration = world.start_at(Phase.FINALIZATION)
    with world.at("finalization.before_run", kill):
        world.work(world.pending().pop())
    world.look_later()
    # A worker that was stopped has written to the target after it was verified.
    world.write("k003", "a late write", collection=migration.target_collection)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert same_texts(world, migration)


def test_what_was_caught_up_last_is_durable_before_it_is_frozen() -> None:
    world = World(10)
    migration = world.start_at(Phase.FINALIZATION)
    world.write("k003", "written late")
    keep_part = world.store.keep_part

    def crash_first(*of: object) -> None:
        world.vectors.crash()
        keep_part(*of)  # type: ignore[arg-type]

    world.store.keep_part = crash_first  # type: ignore[method-assign]
    switched(world, migration)
    assert "written late" == world.texts_of(migration.target_collection)["k003"]


def test_after_a_skipped_verification_everything_is_compared_and_flushed() -> None:
    world = World(10)
    migration = world.start_at(Phase.FINALIZATION, verify_migration=False)
    world.write("late", "written late")
    switched(world, migration)
    world.vectors.crash()
    assert "written late" == world.texts_of(migration.target_collection)["late"]


@pytest.mark.parametrize("refusals", [0, 1])
def test_what_verification_caught_up_survives_a_crash_after_the_switch(refusals: int) -> None:
    world = World(10)
    migration = world.start_at(Phase.VERIFICATION)
    world.write("late", "written late")
    world.vectors.before("flush", lambda: None)  # the one that is begun before comparing
    world.vectors.fail("flush", VectorStoreUnavailable(), times=refusals)
    switched(world, migration)
    world.vectors.crash()
    assert "written late" == world.texts_of(migration.target_collection)["late"]
    assert "written late" == world.texts_of(SOURCE)["late"]


@pytest.mark.parametrize("refusals", [0, 1])
def test_what_a_worker_caught_up_that_died_in_verification_survives_a_crash(refusals: int) -> None:
    world = World(10)
    migration = world.start_at(Phase.VERIFICATION)
    world.write("late", "written late")
    world.vectors.before("flush", lambda: None)  # the one that is begun before comparing
    world.vectors.before("flush", kill)
    world.vectors.fail("flush", VectorStoreUnavailable(), times=refusals)  # its successor's
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    world.vectors.crash()
    assert "written late" == world.texts_of(migration.target_collection)["late"]


def test_what_was_caught_up_last_is_no_straggler_afterwards() -> None:
    world = World(10)
    migration = world.start_at(Phase.FINALIZATION)
    world.write("late", "written late")
    switched(world, migration)
    swept = sweep(world.services, world.now(migration))
    assert (True, 0) == (swept.compared, swept.found)


def test_what_verification_kept_goes_when_it_is_undone() -> None:
    world = World(10)
    migration = world.start_at(Phase.FINALIZATION)
    assert world.store.snapshot_part(migration.id, 0) is not None
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert None is world.store.snapshot_part(migration.id, 0)


def test_a_flush_that_fails_meanwhile_is_repeated_when_it_is_waited_for() -> None:
    world = World(10)
    run = world.run_of(world.start_at(Phase.VERIFICATION))
    world.write("late", "written late")
    world.vectors.fail("flush", VectorStoreUnavailable())
    flush_meanwhile(run, Because.IT_WAS_CAUGHT_UP, SOURCE)()
    world.vectors.crash()
    assert "written late" == world.texts_of(SOURCE)["late"]
