"""What is written to the live collection between a look at it and our writing over it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from migrations.model.config import RollbackMode
from migrations.model.errors import Superseded, SweepPostponed, VectorStoreUnavailable
from migrations.model.left_behind import ConflictReason
from migrations.model.runs import ApplierLease, Migration
from migrations.model.snapshot import WrittenRow
from migrations.model.states import Status
from migrations.way_back.late_writes import sweep
from migrations.way_back.sweep_run import SweepResult
from tests.fakes.embedders import LARGE
from tests.fakes.world import OWNER, SOURCE, World


def switched(**world_of: Any) -> tuple[World, Migration]:
    world = World(4, **world_of)
    return world, world.complete(retry_delay=1.0)


def swept(world: World, migration: Migration) -> SweepResult:
    return sweep(world.services, world.now(migration))


def live_texts(world: World) -> dict[Any, str]:
    return world.texts_of(world.bot.live.collection)


@contextmanager
def right_before(
    monkeypatch: pytest.MonkeyPatch, world: World, call: str, action: Callable[[], object]
) -> Iterator[None]:
    """The first time that Milvus is to do this to what is live, something happens before."""
    original, live = getattr(world.vectors, call), world.bot.live.collection
    waiting = [action]

    def called(schema: Any, *given: Any) -> Any:
        if schema.name == live and waiting:
            waiting.pop()()
        return original(schema, *given)

    with monkeypatch.context() as patched:
        patched.setattr(world.vectors, call, called)
        yield
    assert not waiting


@contextmanager
def after_the_note(
    monkeypatch: pytest.MonkeyPatch, world: World, action: Callable[[], object]
) -> Iterator[None]:
    """When all has been looked at that may take long."""
    original, waiting = world.store.note_written, [action]

    def noted(migration_id: UUID, rows: Sequence[WrittenRow]) -> None:
        original(migration_id, rows)
        if rows and waiting:
            waiting.pop()()

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "note_written", noted)
        yield
    assert not waiting


def through_us(world: World, key: str, text: str) -> Callable[[], None]:
    """An application writes, and a worker that is woken does what it may."""

    def written() -> None:
        world.upsert(key, text=text)
        world.elsewhere(world.apply)

    return written


def changed_late(world: World) -> None:
    world.write("k000", "changed late")


def another_page(world: World) -> None:
    """The text is the same, so that its vector is copied."""
    world.write("k000", "text 0", page=99)


def deleted_late(world: World) -> None:
    world.vectors.remove(SOURCE, "k000")


#: What is forwarded, and the call of Milvus that does it.
LATE = [(changed_late, "upsert"), (another_page, "upsert"), (deleted_late, "delete")]


@pytest.mark.parametrize(("is_late", "call"), LATE)
def test_what_is_written_through_us_comes_after_what_is_forwarded(
    monkeypatch: pytest.MonkeyPatch, is_late: Callable[[World], None], call: str
) -> None:
    world, migration = switched()
    is_late(world)
    with right_before(
        monkeypatch, world, call, through_us(world, "k000", "written at that moment")
    ):
        swept(world, migration)
    world.apply()
    assert "written at that moment" == live_texts(world)["k000"]
    assert [] == world.wrongly_embedded(world.bot.live.collection, LARGE)


@pytest.mark.parametrize(("is_late", "call"), LATE)
def test_what_is_written_past_us_after_a_long_look_is_seen_by_the_last_one(
    monkeypatch: pytest.MonkeyPatch, is_late: Callable[[World], None], call: str
) -> None:
    world, migration = switched()
    is_late(world)
    live = world.bot.live.collection
    with after_the_note(monkeypatch, world, lambda: world.write("k000", "newer", collection=live)):
        result = swept(world, migration)
    assert (0, 0, 1) == (result.applied, result.deleted, result.conflicts)
    assert "newer" == live_texts(world)["k000"]
    (kept,) = world.store.conflicts(migration.id)
    assert ("k000", ConflictReason.LIVE_IS_NEWER) == (kept.key, kept.reason)


def test_an_application_that_writes_while_what_it_wrote_is_carried_back_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, migration = switched()
    world.upsert("k000", text="written since")
    world.apply()
    back = world.system.rollback(OWNER, migration.id, RollbackMode.NOW).migration
    world.deliver(before="migrations.phase.cleanup")
    written = through_us(world, "k000", "written on the way back")
    with right_before(monkeypatch, world, "upsert", written):
        world.deliver()
    world.apply()
    assert Status.COMPLETED == world.now(back).status
    assert "written on the way back" == live_texts(world)["k000"]


def test_a_journal_that_is_being_applied_is_waited_for_and_then_left_for_another_time() -> None:
    world, migration = switched()
    changed_late(world)
    world.upsert("k001", text="anything")
    assert world.store.take_lease(ApplierLease("bot"), "another", 10_000)
    with pytest.raises(SweepPostponed):
        swept(world, migration)
    world.store.release_lease(ApplierLease("bot"), "another")
    assert 1 == swept(world, migration).applied
    assert "changed late" == live_texts(world)["k000"]


def test_writers_are_applied_at_once_after_what_they_had_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, migration = switched()
    changed_late(world)
    with right_before(monkeypatch, world, "upsert", through_us(world, "k001", "waits")):
        swept(world, migration)
    world.deliver()
    assert "waits" == live_texts(world)["k001"]


def test_writers_are_applied_at_once_when_the_writing_fails_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, migration = switched()
    changed_late(world)

    def fails() -> None:
        through_us(world, "k001", "waits")()
        raise VectorStoreUnavailable

    with right_before(monkeypatch, world, "upsert", fails), pytest.raises(VectorStoreUnavailable):
        swept(world, migration)
    world.deliver()
    assert "waits" == live_texts(world)["k001"]


@pytest.mark.parametrize("is_late", [changed_late, another_page, deleted_late])
def test_whose_bot_has_moved_on_while_he_waited_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, is_late: Callable[[World], None]
) -> None:
    world, migration = switched()
    is_late(world)
    before = world.contents(world.bot.live.collection)
    world.upsert("k001", text="anything")
    assert world.store.take_lease(ApplierLease("bot"), "another", 10_000)

    def passes(_: float) -> None:
        world.system.rollback(OWNER, migration.id)
        world.store.release_lease(ApplierLease("bot"), "another")
        monkeypatch.undo()

    monkeypatch.setattr(world.clock, "sleep", passes)
    with pytest.raises(Superseded):
        swept(world, migration)
    assert before == world.contents(world.bot.live.collection)


def test_a_text_that_changes_in_a_table_does_not_undo_what_was_written_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, migration = switched(in_a_table=True)
    swept(world, migration)
    live = world.bot.live.collection
    world.tables.texts["k000"] = "changed in the table"

    def on_another_page() -> None:
        world.write("k000", "changed in the table", collection=live, page=7)

    with after_the_note(monkeypatch, world, on_another_page):
        swept(world, migration)
    assert 7 == world.contents(live)["k000"][0]["page"]
