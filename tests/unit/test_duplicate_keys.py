"""Keys that stand more than once: refused, or one row of each, and never in the way of going back.

The rows of a key are shown one at a time, now this and now that, as Milvus 2.3.5 shows them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrations.copying.comparison import catch_up_once
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.way_back.late_writes import sweep
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import OWNER, SOURCE, World

VERIFICATION = "migrations.phase.verification"
FINALIZATION = "migrations.phase.finalization"


def doubled(*keys: int) -> World:
    """A bot whose collection has a second row, "newer <i>", under each of these keys."""
    world = World()
    world.vectors.shows_one = True
    for i in keys:
        world.double(f"k{i:03}", f"newer {i}", collection=SOURCE)
    return world


def error_of(world: World, migration: Migration) -> str:
    return str((world.now(migration).error or {})["message"])


def is_whole(world: World, collection: str) -> bool:
    """Each key once, with a vector of its own text."""
    whole = world.vectors.count(collection) == len(world.texts_of(collection)) == 12
    ref = SMALL if collection == SOURCE else LARGE
    return whole and not world.wrongly_embedded(collection, ref)


# --- asked for nothing ------------------------------------------------------------


def test_all_are_counted_some_named_and_nothing_is_paid_for_the_collection() -> None:
    world = doubled(*range(12))
    migration = world.complete()
    assert Status.ROLLED_BACK == migration.status
    assert "12 keys stand more than once" in error_of(world, migration)
    assert "'k000', 'k001'" in error_of(world, migration)
    assert "k010" not in error_of(world, migration)
    assert "duplicate_keys: keep_one" in error_of(world, migration)
    assert 0 == world.now(migration).totals.get("processed_chunks", 0)


def test_validation_on_request_says_the_same() -> None:
    found = doubled(3).manager.validate_change(OWNER, "bot", LARGE.provider, LARGE.model).report
    assert ["duplicate_keys"] == [check.name for check in found.errors]


def test_a_key_that_is_doubled_during_the_run_is_refused_before_the_switch() -> None:
    world = World()
    world.vectors.shows_one = True
    migration = world.start()
    world.deliver(before=VERIFICATION)
    world.double("k003", "newer", collection=SOURCE)
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert "1 key stands more than once" in error_of(world, migration)
    assert SOURCE == world.bot.live.collection


# --- one of each is wanted ----------------------------------------------------------


@pytest.mark.parametrize("shows_one", [True, False])
def test_one_row_of_each_goes_live_and_it_is_said(shows_one: bool) -> None:
    world = doubled(3, 7)
    world.vectors.shows_one = shows_one
    migration = world.complete(duplicate_keys="keep_one")
    assert Status.COMPLETED == migration.status
    live = world.bot.live.collection
    assert is_whole(world, live)
    assert world.texts_of(live)["k003"] in {"text 3", "newer 3"}
    assert any("2 keys stand more than once" in warning for warning in migration.warnings)


def test_which_one_is_shown_does_not_make_the_passes_pay_again_and_again() -> None:
    world = doubled(3, 7)
    migration = world.start(duplicate_keys="keep_one", batch_size=100)
    world.deliver(before=VERIFICATION)
    world.write("k000", "written meanwhile")
    notes = world.store.written_rows(migration.id, 100)
    assert {"k003", "k007"} == {note.key for note in notes}, "the other row of each was carried"
    for _ in range(3):
        assert 1 >= catch_up_once(world.run_of(migration)).embedded, "only what was written"


@pytest.mark.parametrize("before", ["migrations.catch_up", VERIFICATION, FINALIZATION])
def test_the_newest_is_carried_when_it_came_during_the_run(before: str) -> None:
    world = World()
    world.vectors.shows_one = True
    migration = world.start(duplicate_keys="keep_one")
    world.deliver(before=before)
    world.double("k003", "newer", collection=SOURCE)
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    live = world.bot.live.collection
    assert is_whole(world, live)
    assert "newer" == world.texts_of(live)["k003"]


# --- afterwards -----------------------------------------------------------------


ENDS: dict[str, Callable[[World, str], None]] = {
    "another text": lambda w, live: w.double("k003", "newer", collection=live),
    "the same text": lambda w, live: w.double("k003", "text 3", collection=live),
}


@pytest.mark.parametrize("what", ENDS)
def test_an_insert_after_the_switch_does_not_block_the_way_back(what: str) -> None:
    world = World()
    world.vectors.shows_one = True
    migration = world.complete()
    ENDS[what](world, world.bot.live.collection)
    world.manager.rollback_migration(OWNER, migration.id)
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert SOURCE == world.bot.live.collection
    assert is_whole(world, SOURCE)
    assert world.texts_of(SOURCE)["k003"] == ("newer" if what == "another text" else "text 3")


def test_what_was_doubled_before_does_not_block_the_way_back_and_stands_once_then() -> None:
    world = doubled(3)
    migration = world.complete(duplicate_keys="keep_one")
    carried = world.texts_of(world.bot.live.collection)["k003"]
    world.manager.rollback_migration(OWNER, migration.id)
    world.settle()
    assert SOURCE == world.bot.live.collection
    assert is_whole(world, SOURCE)
    assert carried == world.texts_of(SOURCE)["k003"]


def test_a_late_insert_is_forwarded_as_the_newest() -> None:
    world = World()
    world.vectors.shows_one = True
    migration = world.complete()
    world.double("k003", "a straggler's", collection=SOURCE)
    sweep(world.services, migration)
    live = world.bot.live.collection
    assert "a straggler's" == world.texts_of(live)["k003"]
    assert is_whole(world, live)
    assert sweep(world.services, migration).quiet, "which row is shown is no write"
