"""The switch: caught up before it, never after it, and repeatable from every point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from migrations.copying.catch_up import catch_up_last
from migrations.model.bots import Bot
from migrations.model.errors import (
    ReembedError,
    StateStoreUnavailable,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.model.states import Phase, Status
from migrations.phases import finalization
from migrations.target.alias import PATIENCE_SECONDS
from tests.fakes.embedders import LARGE
from tests.fakes.state_store import FakeMigrationStore
from tests.fakes.world import ALIAS, OWNER, SOURCE, World, kill


class SwitchReplyLost(FakeMigrationStore):
    """The first switch is committed, and its caller is told that PostgreSQL is away."""

    meanwhile: Callable[[], None] | None = None

    def switch(self, *args: object) -> Bot:
        bot = super().switch(*args)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
            raise StateStoreUnavailable
        return bot


def test_the_bot_answers_from_the_target_and_the_alias_follows() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.deliver(before="migrations.phase.cleanup")
    live = world.bot.live
    assert (migration.target_collection, LARGE, 2) == (
        live.collection,
        live.embedding,
        live.generation,
    )
    assert migration.target_collection == world.vectors.resolve_alias(ALIAS)


def test_nothing_is_asked_of_milvus_between_the_switch_and_the_alias() -> None:
    world = World()
    world.start_at(Phase.FINALIZATION)
    calls: list[int] = []
    count = lambda: calls.append(world.vectors.calls.total())  # noqa: E731
    world.vectors.before("point_alias", count)
    with world.at("finalization.after_switch", count):
        world.deliver(before="migrations.phase.cleanup")
    after_switch, at_alias = calls
    assert after_switch + 1 == at_alias


def test_what_an_earlier_run_froze_goes_after_the_switch_and_not_in_it() -> None:
    world = World()
    first = world.complete()
    world.start(model="small", dimension=4)
    world.deliver(before="migrations.phase.cleanup")
    assert world.store.snapshot_part(first.id, 0) is not None
    world.deliver()
    assert world.store.snapshot_part(first.id, 0) is None


def test_what_was_written_since_verification_is_caught_up_before_the_switch() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.write("new", "written late")
    world.vectors.remove(SOURCE, "k000")
    world.deliver()
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)


def test_all_reads_of_the_last_catching_up_share_one_moment_and_its_count_is_of_now() -> None:
    """On Milvus each of its own would wait for the next tick of the server's clock."""
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    before = world.vectors.calls["moment"]
    catch_up_last(world.run_of(migration))
    assert before + 2 == world.vectors.calls["moment"]


def test_a_repeated_switch_does_not_undo_what_was_written_to_the_new_collection() -> None:
    world = World(store_class=SwitchReplyLost)
    migration = world.start_at(Phase.FINALIZATION)
    live = migration.target_collection
    world.store.meanwhile = lambda: world.write("new", "after the switch", collection=live)
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert "after the switch" == world.texts_of(live)["new"]


def test_what_was_written_while_the_switch_waited_for_a_new_worker_is_caught_up() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    with world.at("finalization.before_switch", kill):
        world.work(world.pending().pop())
    assert Status.SWITCHING == world.now(migration).status
    world.write("new", "written between")
    world.settle()
    assert "written between" == world.texts_of(migration.target_collection).get("new")


def test_a_deadline_that_passes_during_the_switch_does_not_stop_it() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    with world.at("finalization.after_switch", lambda: world.clock.sleep(4000)):
        world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert [] == world.failures


@pytest.mark.parametrize(
    "point", ["before_intent", "before_switch", "after_switch", "after_alias", "after_run"]
)
def test_a_worker_that_dies_at_any_point_leaves_one_switch_behind(point: str) -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    with world.at(f"finalization.{point}", kill):
        world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert 1 == world.told(migration).count("switched")
    assert 2 == world.bot.live.generation
    assert migration.target_collection == world.vectors.resolve_alias(ALIAS)


@pytest.mark.parametrize("fault", [VectorStoreUnavailable("away"), VectorStoreRefused("full")])
def test_a_count_that_is_refused_right_after_the_switch_ends_nothing(fault: ReembedError) -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    with world.at("finalization.after_alias", lambda: world.vectors.fail("count", fault)):
        world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert [] == world.failures


@pytest.mark.parametrize("point", ["finalization.before_intent", "finalization.after_switch"])
def test_what_goes_live_survives_a_crash_of_the_vector_store(point: str) -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.write("new", "written late")
    with world.at(point, world.vectors.crash):
        world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert "written late" == world.texts_of(migration.target_collection)["new"]
    # What a crash takes from the old collection would be taken for deletions.
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)
    assert [] == world.store.conflicts(migration.id)


def test_undoing_it_changes_nothing() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    before = world.bot, world.vectors.names(), world.contents(migration.target_collection)
    finalization.undo(world.run_of(migration))
    after = world.bot, world.vectors.names(), world.contents(migration.target_collection)
    assert before == after


def test_a_bot_that_moved_meanwhile_is_not_switched() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    bot = world.bot
    moved = replace(bot.live, generation=bot.live.generation + 1)
    world.store._bots["bot"] = replace(bot, live=moved)
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert "source-changed" == (world.now(migration).error or {})["code"]


def test_a_chunk_refused_at_the_last_moment_stops_the_switch() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.embedders.refuse("poison")
    world.write("new", "poison")
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert "too-many-failed-chunks" == (world.now(migration).error or {})["code"]


def test_a_target_that_cannot_be_loaded_is_not_switched_to() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.vectors.load = lambda name: None  # type: ignore[method-assign]  # it says yes and does not
    world.vectors.release(migration.target_collection)
    with pytest.raises(ReembedError):
        finalization.execute(world.run_of(migration))
    assert SOURCE == world.bot.live.collection


@pytest.mark.parametrize(
    "error", [VectorStoreUnavailable("It is away."), VectorStoreRefused("You may not.")]
)
def test_an_alias_that_cannot_follow_ends_in_a_warning_and_is_the_watchdogs(
    error: ReembedError,
) -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.vectors.fail("point_alias", error, times=10_000)
    begun = world.clock.monotonic()
    world.deliver()
    now = world.now(migration)
    assert Status.COMPLETED == now.status
    assert world.clock.monotonic() - begun < 3 * PATIENCE_SECONDS
    assert any(error.message in one and "point it to" in one for one in now.warnings), now.warnings
    assert world.system.status(OWNER, "bot").rollback.ready
    world.vectors.recover()
    world.clock.sleep(2)
    world.watchdog.look()
    assert migration.target_collection == world.vectors.resolve_alias(ALIAS)


def test_an_alias_that_follows_late_is_waited_for_without_a_warning() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.vectors.fail("point_alias", VectorStoreUnavailable("It is away."), times=3)
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert () == world.now(migration).warnings
    assert migration.target_collection == world.vectors.resolve_alias(ALIAS)
