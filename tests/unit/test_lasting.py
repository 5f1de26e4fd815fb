"""What an engine forgets of what it acknowledged does not go live, and is told when it is live."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from migrations.copying.catch_up import catch_up_last
from migrations.copying.lasting import (
    LOOKS,
    REMEMBERED_SECONDS,
    SETTLING_SECONDS,
    counts_as_compared,
    lasts,
    mend_what_came_back,
)
from migrations.model.chunks import Key
from migrations.model.left_behind import ConflictReason
from migrations.model.runs import Migration
from migrations.model.snapshot import WrittenRow
from migrations.model.states import Phase, Status
from migrations.process.pulse import Beat
from migrations.run.run import Run
from migrations.way_back.late_writes import sweep
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import OWNER, SOURCE, World

Loss = Callable[[World, str], None]

LOSSES: dict[str, Loss] = {
    "a deleted row is back": lambda w, c: w.write("k001", "text 1", collection=c),
    "a changed row is as it was": lambda w, c: w.write("k002", "text 2", collection=c),
    "a changed row stands beside the old one": lambda w, c: w.double(
        "k002", "text 2", collection=c
    ),
    "a new row is gone": lambda w, c: w.vectors.remove(c, "new"),
}


def write_to(world: World, collection: str = SOURCE, text: str = "changed") -> None:
    world.vectors.remove(collection, "k001")
    world.write("k002", text, collection=collection)
    world.write("new", "new", collection=collection)


def caught_up(**changes: object) -> tuple[World, Migration]:
    """A run that verification has made equal to what was written meanwhile."""
    world = World()
    migration = world.start_at(Phase.VERIFICATION, **changes)
    write_to(world)
    world.deliver(before="migrations.phase.finalization")
    return world, world.now(migration)


def is_whole(world: World, live: str, source: str = SOURCE) -> bool:
    """Each key once, with its text and that text's vector."""
    same = world.texts_of(source) == world.texts_of(live)
    ref = SMALL if live == SOURCE else LARGE
    counted = world.vectors.count(live) == len(world.texts_of(live))
    return same and counted and world.wrongly_embedded(live, ref) == []


# --- before the switch ------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_what_does_not_last_after_verification_is_written_again_before_the_switch(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.copying.lasting.KEYS_AT_ONCE", 1)  # the lost row is not first
    world, migration = caught_up()
    LOSSES[loss](world, migration.target_collection)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert is_whole(world, migration.target_collection)
    assert 0 == world.store.count_conflicts("bot")


@pytest.mark.parametrize("loss", LOSSES)
def test_what_does_not_last_while_it_is_looked_at_again_is_noticed(loss: str) -> None:
    world, migration = caught_up()
    target = migration.target_collection
    LOSSES[loss](world, target)
    world.vectors.before("flush", lambda: LOSSES[loss](world, target))
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert is_whole(world, target)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_does_not_last_in_verification_is_no_fault_of_the_run(loss: str) -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.deliver(before="migrations.catch_up")
    write_to(world)
    world.deliver(before="migrations.phase.verification")
    LOSSES[loss](world, migration.target_collection)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert is_whole(world, migration.target_collection)


def test_a_row_that_is_written_again_as_the_source_has_it_by_then_is_counted_as_such() -> None:
    world, migration = caught_up()
    run = world.run_of(migration)
    result = catch_up_last(run)
    LOSSES["a deleted row is back"](world, migration.target_collection)
    world.write("k001", "written anew")
    assert lasts(run, result)
    assert counts_as_compared(run, result)


def test_a_note_of_a_write_that_was_never_made_holds_nobody_up() -> None:
    world, migration = caught_up()
    world.store.note_written(migration.id, [WrittenRow("k003", now=b"not made")])
    scans = world.vectors.calls["scan"]
    world.deliver(before="migrations.phase.cleanup")
    assert migration.target_collection == world.bot.live.collection
    assert scans + LOOKS > world.vectors.calls["scan"], "everything was compared again and again"


def test_it_is_looked_at_once_what_is_read_is_what_is_stored() -> None:
    """Until then Milvus reads as if a deletion that it has lost were there."""
    world, migration = caught_up()
    target = migration.target_collection
    world.vectors.settled = False

    def settle() -> None:
        world.vectors.settled = True
        LOSSES["a deleted row is back"](world, target)

    for _ in range(3):
        world.vectors.before("is_settled", lambda: None)
    world.vectors.before("is_settled", settle)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert is_whole(world, target)


def test_a_target_that_never_settles_goes_live_after_a_while() -> None:
    world, migration = caught_up()
    world.vectors.settled = False
    begun = world.clock.monotonic()
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert SETTLING_SECONDS <= world.clock.monotonic() - begun < 3 * SETTLING_SECONDS


def test_nobody_waits_where_nothing_was_deleted_or_replaced() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.write("new", "new")
    world.deliver(before="migrations.phase.finalization")
    world.settle()
    assert 0 == world.vectors.calls["is_settled"]
    assert Status.COMPLETED == world.now(migration).status


def test_a_target_that_never_stays_as_it_was_written_does_not_go_live() -> None:
    world, migration = caught_up()
    target = migration.target_collection
    flush = world.vectors.flush

    def flush_and_forget(collection: str) -> None:
        flush(collection)
        if collection == target:
            world.write("k001", "text 1", collection=target)

    world.vectors.flush = flush_and_forget  # type: ignore[method-assign]
    world.write("k003", "changed late")
    world.settle()
    ended = world.now(migration)
    assert Status.ROLLED_BACK == ended.status
    assert "verification-failed" == (ended.error or {})["code"]
    assert SOURCE == world.bot.live.collection


def test_a_row_that_nobody_has_written_is_found_by_counting() -> None:
    world, migration = caught_up()
    world.write("k0045", "nobody's", collection=migration.target_collection)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert is_whole(world, migration.target_collection)


def test_a_row_that_was_not_written_lately_and_stands_twice_is_found_by_counting() -> None:
    world, migration = caught_up()
    world.double("k004", "text 4", collection=migration.target_collection)
    world.settle()
    assert is_whole(world, migration.target_collection)


def test_writers_who_never_pause_do_not_keep_a_run_from_switching() -> None:
    world, migration = caught_up()
    for number in range(10 * LOOKS):  # before each count, so that none is of a source at rest
        world.vectors.before("count", lambda n=number: world.write(f"w{n}", "written"))
        world.vectors.before("fetch", lambda n=number: world.write("k002", f"changed {n}"))
    world.deliver(before="migrations.phase.cleanup")
    assert migration.target_collection == world.bot.live.collection


# --- after it -----------------------------------------------------------------------


def switched() -> tuple[World, Migration, str]:
    world, migration = caught_up()
    world.deliver()
    return world, world.now(migration), migration.target_collection


def swept(world: World, migration: Migration) -> None:
    sweep(world.services, world.now(migration))


def test_a_row_that_stands_twice_in_the_live_collection_is_mended() -> None:
    world, migration, live = switched()
    world.double("k002", "text 2", collection=live)
    swept(world, migration)
    assert is_whole(world, live)
    assert 0 == world.store.count_conflicts("bot")


def test_a_users_newer_row_is_the_one_that_stays_of_two() -> None:
    world, migration, live = switched()
    world.write("k002", "a user's", collection=live)
    world.double("k002", "text 2", collection=live)
    swept(world, migration)
    assert "a user's" == world.texts_of(live)["k002"]
    assert world.vectors.count(live) == len(world.texts_of(live))


def test_of_a_doubled_key_that_shows_its_old_row_the_source_has_the_other() -> None:
    world, migration, live = switched()
    world.write("k002", "text 2", collection=live)
    world.double("k002", "text 2", collection=live)  # what Milvus shows of both
    swept(world, migration)
    assert "changed" == world.texts_of(live)["k002"]
    assert world.vectors.count(live) == len(world.texts_of(live))
    assert [] == world.wrongly_embedded(live, LARGE)


def doubled_and_hidden(ours: str | None) -> tuple[World, Migration, str]:
    """The live collection shows the old one of two rows, and the source has not the other."""
    world, migration, live = switched()
    world.write("k002", "text 2", collection=live)
    world.double("k002", "text 2", collection=live)
    world.vectors.remove(SOURCE, "k002")
    if ours:
        world.write("k002", ours)
    return world, migration, live


@pytest.mark.parametrize("ours", [None, "another"])
def test_of_a_doubled_key_whose_other_row_nobody_has_a_person_judges(ours: str | None) -> None:
    world, migration, live = doubled_and_hidden(ours)
    beat = Beat(lambda: True, every_seconds=60)
    mend_what_came_back(Run(world.services, migration, world.bot, beat))
    (conflict,) = world.store.conflicts(migration.id)
    assert ("k002", ConflictReason.CAME_BACK) == (conflict.key, conflict.reason)
    assert "text 2" == world.texts_of(live)["k002"]


@pytest.mark.parametrize("ours", [None, "another"])
def test_a_doubled_key_that_nobody_mends_does_not_keep_a_sweep_from_the_others(
    ours: str | None,
) -> None:
    world, migration, live = doubled_and_hidden(ours)
    world.vectors.remove(SOURCE, "k004")
    world.write("k005", "a late write")
    swept(world, migration)
    texts = world.texts_of(live)
    assert (None, "a late write", "text 2") == (texts.get("k004"), texts["k005"], texts["k002"])
    assert ["k002"] == [conflict.key for conflict in world.store.conflicts(migration.id)]


def test_what_was_mended_is_looked_at_as_long_as_what_was_written() -> None:
    world, migration, live = switched()
    for _ in range(4):
        world.double("k002", "text 2", collection=live)
        swept(world, migration)
        assert is_whole(world, live)
        world.clock.sleep(REMEMBERED_SECONDS - 1)


@pytest.mark.parametrize("key", ["k001", "k002"])
def test_a_row_that_came_back_alone_is_left_for_a_person_to_judge(key: str) -> None:
    world, migration, live = switched()
    old = f"text {int(key[1:])}"
    world.write(key, old, collection=live)
    swept(world, migration)
    assert old == world.texts_of(live)[key]
    (conflict,) = world.store.conflicts(migration.id)
    assert (key, ConflictReason.CAME_BACK) == (conflict.key, conflict.reason)
    (warning,) = world.now(migration).warnings
    assert f"stand there again; delete them if nobody has written them anew: {key}." in warning


def test_what_users_write_after_the_switch_is_theirs() -> None:
    world, migration, live = switched()
    world.write("k001", "written anew", collection=live)
    world.vectors.remove(live, "k002")
    before = world.contents(live)
    swept(world, migration)
    assert before == world.contents(live)
    assert 0 == world.store.count_conflicts("bot")


def test_what_a_sweep_has_forwarded_is_looked_at_by_the_next() -> None:
    world, migration, live = switched()
    world.write("k003", "a late write")
    swept(world, migration)
    world.double("k003", "text 3", collection=live)
    swept(world, migration)
    assert is_whole(world, live)


def test_after_a_while_it_is_not_looked_at_again() -> None:
    world, migration, _ = switched()
    assert world.store.written_rows(migration.id, 10)
    world.clock.sleep(REMEMBERED_SECONDS + 1)
    swept(world, migration)
    assert [] == world.store.written_rows(migration.id, 10)


def test_rows_that_are_gone_right_after_the_switch_are_warned_of() -> None:
    world, migration = caught_up()
    target = migration.target_collection
    with world.at("finalization.after_switch", lambda: world.vectors.remove(target, "k005")):
        world.deliver()
    (warning,) = world.now(migration).warnings
    assert "counted 11 chunks, 12 had been compared" in warning


# --- on the way back ------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_the_way_back_looks_again_as_well(loss: str) -> None:
    world, migration, live = switched()
    world.write("k001", "text 1", collection=live)
    swept(world, migration)  # the conflict is of no concern here
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver(before="migrations.phase.verification")
    write_to(world, live, "changed again")
    world.deliver(before="migrations.phase.finalization")
    LOSSES[loss](world, SOURCE)
    world.settle()
    assert Status.COMPLETED == world.now(back).status
    assert is_whole(world, SOURCE, live)


@pytest.mark.parametrize("key_of", ["k{:03}".format, int], ids=["texts", "numbers"])
def test_what_was_left_out_by_permission_is_counted_on_the_way_back(
    key_of: Callable[[int], Key],
) -> None:
    world = World(key_of=key_of)
    world.write(key_of(5), "poison")
    world.embedders.refuse("poison")
    migration = world.complete(max_failed_ratio=0.1)
    back = world.system.rollback(OWNER, migration.id).migration
    with capture_logs() as told:
        world.settle()
    assert Status.COMPLETED == world.now(back).status
    assert [] == [entry for entry in told if entry["event"] == "target_counts_otherwise"]
    assert {"counted": 12, "expected": 12}.items() <= next(
        entry for entry in told if entry["event"] == "counted_after_the_switch"
    ).items()


def test_a_writer_with_the_old_name_does_not_block_the_way_back() -> None:
    world, migration, _ = switched()
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver(before="migrations.phase.finalization")
    for number in range(10 * LOOKS):
        world.vectors.before("count", lambda n=number: world.write(f"w{n}", "written"))
    world.settle()
    assert Status.COMPLETED == world.now(back).status


def test_a_run_that_is_undone_leaves_no_notes() -> None:
    world, migration = caught_up()
    assert world.store.written_rows(migration.id, 10)
    world.system.cancel(OWNER, "bot")
    world.settle()
    assert [] == world.store.written_rows(migration.id, 10)
