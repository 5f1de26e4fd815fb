"""LateWrites are forwarded, exactly those, and never over something newer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrations.model.chunks import KeyRange
from migrations.model.errors import (
    ProviderUnavailable,
    Superseded,
    SweepPostponed,
    VectorStoreUnavailable,
)
from migrations.model.left_behind import Conflict, ConflictReason
from migrations.model.runs import Due, Migration
from migrations.model.snapshot import ROW_BYTES, snapshot_of
from migrations.model.states import Phase, Status
from migrations.way_back.late_writes import sweep
from migrations.way_back.sweep_run import SweepResult
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import OWNER, SOURCE, WorkerKilled, World, kill


def switched(**settings: float) -> tuple[World, Migration]:
    world = World(settings=settings)
    return world, world.complete(retry_delay=1.0)


def swept(world: World, migration: Migration) -> SweepResult:
    return sweep(world.services, world.now(migration))


def live_of(world: World) -> str:
    return world.bot.live.collection


# --- what is forwarded ----------------------------------------------------------------


def test_an_insert_an_update_and_a_deletion_reach_the_live_collection() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    world.write("k000", "changed late")
    world.vectors.remove(SOURCE, "k001")
    result = swept(world, migration)
    assert (2, 1, 0, False) == (result.applied, result.deleted, result.conflicts, result.quiet)
    assert world.texts_of(SOURCE) == world.texts_of(live_of(world))
    assert [] == world.wrongly_embedded(live_of(world), LARGE)


def test_a_second_sweep_is_quiet() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    world.vectors.remove(SOURCE, "k001")
    swept(world, migration)
    before = world.contents(live_of(world))
    assert SweepResult() == swept(world, migration)
    assert before == world.contents(live_of(world))


def test_a_straggler_that_was_forwarded_survives_a_crash_of_the_vector_store() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    swept(world, migration)
    world.vectors.crash()
    assert swept(world, migration).quiet
    assert "a straggler" == world.texts_of(SOURCE)["new"] == world.texts_of(live_of(world))["new"]


@pytest.mark.parametrize(("at_once", "flushes"), [(1, 4), (2, 2), (3, 2)])
def test_changed_parts_are_flushed_together_and_left_behind_all(
    at_once: int, flushes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.copying.comparison.PAGE_SIZE", 4)
    monkeypatch.setattr("migrations.way_back.late_writes.PARTS_PER_FLUSH", at_once)
    world, migration = switched()
    world.write("k000", "in the first part")
    world.write("k011", "in the last part")
    before = world.vectors.calls["flush"]
    assert 2 == swept(world, migration).applied
    assert flushes == world.vectors.calls["flush"] - before
    assert SweepResult() == swept(world, migration)


def test_writes_to_the_live_collection_are_no_stragglers() -> None:
    world, migration = switched()
    live = live_of(world)
    world.write("new", "legitimate", collection=live)
    world.write("k000", "legitimate", collection=live)
    world.vectors.remove(live, "k001")
    before = world.contents(live)
    assert swept(world, migration).quiet
    assert before == world.contents(live)


def test_stragglers_and_writes_to_the_live_collection_keep_out_of_each_others_way() -> None:
    world, migration = switched()
    live = live_of(world)
    world.write("k000", "legitimate", collection=live)
    world.vectors.remove(live, "k001")
    world.write("k002", "a straggler")
    assert 1 == swept(world, migration).applied
    texts = world.texts_of(live)
    assert ("legitimate", "a straggler") == (texts["k000"], texts["k002"])
    assert "k001" not in texts


def test_a_change_of_metadata_is_copied_and_costs_nothing() -> None:
    world, migration = switched()
    world.write("k000", "text 0", page=7)
    before = world.store.tokens_used(migration.id)
    assert 1 == swept(world, migration).applied
    fields, _ = world.contents(live_of(world))["k000"]
    assert 7 == fields["page"]
    assert before == world.store.tokens_used(migration.id)
    assert [] == world.wrongly_embedded(live_of(world), LARGE)


def test_what_a_sweep_embeds_is_in_the_ledger_of_the_migration() -> None:
    world, migration = switched()
    before = world.store.tokens_used(migration.id)
    world.write("new", "four words in all")
    swept(world, migration)
    assert world.store.tokens_used(migration.id) > before


def test_stragglers_beyond_the_last_key_and_in_an_empty_collection_are_found() -> None:
    world = World(texts=[])
    migration = world.complete()
    world.write("a", "the first of all")
    assert 1 == swept(world, migration).applied
    assert {"a": "the first of all"} == world.texts_of(live_of(world))


def test_a_chunk_that_was_left_out_by_permission_is_forwarded_once_it_is_mended() -> None:
    world = World(texts=["poison", *(f"text {i}" for i in range(11))])
    world.embedders.refuse("poison")
    migration = world.complete(max_failed_ratio=0.5)
    world.write("k000", "mended")
    assert 1 == swept(world, migration).applied
    assert "mended" == world.texts_of(live_of(world))["k000"]
    assert 0 == world.store.count_failed_chunks(migration.id)


def test_the_writes_between_the_last_catching_up_and_the_switch_are_swept_by_cleanup() -> None:
    world = World()
    world.start_at(Phase.FINALIZATION)
    with world.at("finalization.before_switch", lambda: world.write("new", "just in time")):
        world.deliver()
    assert "just in time" == world.texts_of(live_of(world))["new"]


def test_a_cleanup_that_cannot_sweep_completes_and_leaves_it_to_the_next_sweep() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION, retry_delay=1.0)

    def fall_silent() -> None:
        world.write("new", "just in time")
        world.embedders.fail(ProviderUnavailable(), times=None)

    with world.at("finalization.before_switch", fall_silent):
        world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    world.embedders.recover()
    assert 1 == swept(world, migration).applied


# --- conflicts ------------------------------------------------------------------------


def both_changed(world: World) -> None:
    world.write("k000", "newer", collection=live_of(world))
    world.write("k000", "loser")


def changed_and_deleted(world: World) -> None:
    world.vectors.remove(live_of(world), "k000")
    world.write("k000", "loser")


def both_inserted(world: World) -> None:
    world.write("new", "newer", collection=live_of(world))
    world.write("new", "loser")


@pytest.mark.parametrize("happen", [both_changed, changed_and_deleted, both_inserted])
def test_what_is_newer_in_the_live_collection_stays_and_the_loser_is_kept(
    happen: Callable[[World], None],
) -> None:
    world, migration = switched()
    happen(world)
    before = world.contents(live_of(world))
    result = swept(world, migration)
    assert (0, 1) == (result.applied, result.conflicts)
    assert before == world.contents(live_of(world))
    (kept,) = world.store.conflicts(migration.id)
    assert kept.fields is not None
    assert ("loser", ConflictReason.LIVE_IS_NEWER) == (kept.fields["text"], kept.reason)
    assert any("kept as conflicts" in warning for warning in world.now(migration).warnings)
    assert 1 == world.system.status(OWNER, "bot").conflicts
    assert swept(world, migration).quiet


def test_a_deletion_of_what_has_changed_since_is_a_conflict_without_fields() -> None:
    world, migration = switched()
    world.write("k000", "newer", collection=live_of(world))
    world.vectors.remove(SOURCE, "k000")
    assert 1 == swept(world, migration).conflicts
    assert "newer" == world.texts_of(live_of(world))["k000"]
    kept = Conflict("k000", None, ConflictReason.LIVE_IS_NEWER)
    assert [kept] == world.store.conflicts(migration.id)


def test_the_same_write_to_both_sides_is_no_conflict() -> None:
    world, migration = switched()
    for collection in (SOURCE, live_of(world)):
        world.write("k000", "a careful writer", collection=collection)
        world.vectors.remove(collection, "k001")
    result = swept(world, migration)
    assert (0, 0, 0) == (result.applied, result.deleted, result.conflicts)


def test_a_write_that_comes_while_a_straggler_is_embedded_is_not_overwritten() -> None:
    world, migration = switched()
    world.write("k000", "a straggler")
    live = live_of(world)
    world.embedders.on_embed = lambda _: world.write("k000", "newer", collection=live)
    assert (0, 1) == (lambda r: (r.applied, r.conflicts))(swept(world, migration))
    assert "newer" == world.texts_of(live)["k000"]


def test_a_straggler_that_cannot_be_embedded_is_kept() -> None:
    world, migration = switched()
    world.embedders.refuse("poison")
    world.write("new", "poison")
    swept(world, migration)
    assert [ConflictReason.NOT_EMBEDDED] == [
        kept.reason for kept in world.store.conflicts(migration.id)
    ]


# --- faults ---------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["sweep.before_apply", "sweep.before_replacing"])
def test_a_sweep_that_dies_is_made_up_for_by_the_next(point: str) -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    world.write("k000", "changed late")
    world.vectors.remove(SOURCE, "k001")
    with world.at(point, kill), pytest.raises(WorkerKilled):
        swept(world, migration)
    world.clock.sleep(100)
    assert not swept(world, migration).quiet
    assert world.texts_of(SOURCE) == world.texts_of(live_of(world))
    assert 0 == world.store.count_conflicts("bot")
    assert swept(world, migration).quiet


def test_a_provider_that_stays_away_postpones_the_sweep_and_loses_nothing() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    world.embedders.fail(ProviderUnavailable(), times=None)
    with pytest.raises(SweepPostponed):
        swept(world, migration)
    world.embedders.recover()
    assert 1 == swept(world, migration).applied


def test_an_outage_of_milvus_ends_the_sweep_and_the_next_one_does_its_work() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    world.vectors.fail("upsert", VectorStoreUnavailable())
    with pytest.raises(VectorStoreUnavailable):
        swept(world, migration)
    assert 1 == swept(world, migration).applied


def test_two_sweeps_at_once_are_one() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    errors: list[BaseException] = []

    def again() -> None:
        try:
            world.elsewhere(lambda: swept(world, migration))
        except SweepPostponed as error:
            errors.append(error)

    with world.at("sweep.before_apply", again):
        assert 1 == swept(world, migration).applied
    assert 1 == len(errors)


def test_a_sweep_stops_when_the_bot_has_moved_on() -> None:
    world, migration = switched()
    world.complete(model="small", dimension=4)
    with pytest.raises(Superseded):
        swept(world, migration)


def test_a_sweep_stops_in_the_middle_when_a_rollback_is_started() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    start = lambda: world.system.rollback(OWNER, migration.id)  # noqa: E731
    with world.at("sweep.before_apply", start), pytest.raises(Superseded):
        swept(world, migration)
    assert "new" not in world.texts_of(live_of(world))


def test_without_a_snapshot_one_is_taken_and_from_then_on_stragglers_are_found() -> None:
    world, migration = switched()
    world.store.forget_snapshot(migration.id)
    assert not swept(world, migration).quiet
    assert swept(world, migration).quiet
    world.write("new", "a straggler")
    assert 1 == swept(world, migration).applied


# --- the snapshot ---------------------------------------------------------------------


def test_a_finalization_that_is_driven_again_leaves_one_snapshot() -> None:
    world = World(texts=12)
    migration = world.start_at(Phase.FINALIZATION)
    with world.at("finalization.before_intent", kill):
        world.work(world.pending().pop())
    world.write("new", "meanwhile")
    world.settle()
    assert swept(world, migration).quiet
    assert "meanwhile" == world.texts_of(live_of(world))["new"]


def test_a_zombie_cannot_freeze_after_its_epoch_is_gone() -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.store.redrive(migration.id, migration.epoch)
    with pytest.raises(Superseded):
        world.store.keep_part(migration.id, migration.epoch, snapshot_of(0, KeyRange(), []))


def test_a_part_takes_sixteen_bytes_a_chunk() -> None:
    world, migration = switched()
    part = world.store.snapshot_part(migration.id, 0)
    assert part is not None
    assert (12, 12 * 16, 16) == (part.rows, len(part.digests), ROW_BYTES)


# --- the way back ---------------------------------------------------------------------


def test_a_rollback_takes_stragglers_along_that_no_sweep_has_seen() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    world.write("k000", "newer", collection=live_of(world))
    world.write("k000", "loser")
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver()
    assert Status.COMPLETED == world.now(back).status
    assert ("a straggler", "newer") == tuple(world.texts_of(SOURCE)[k] for k in ("new", "k000"))
    assert [] == world.wrongly_embedded(SOURCE, SMALL)
    assert ["k000"] == [kept.key for kept in world.store.conflicts(migration.id)]


def test_a_rollback_does_not_wait_for_the_model_it_leaves_and_keeps_the_stragglers() -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    fail_only_the_new_model(world)
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver()
    assert Status.COMPLETED == world.now(back).status
    (kept,) = world.store.conflicts(migration.id)
    assert ("new", ConflictReason.NOT_EMBEDDED) == (kept.key, kept.reason)


def fail_only_the_new_model(world: World) -> None:
    answer = world.embedders.answer

    def answer_of_the_old(ref: object, texts: object) -> object:
        if ref == LARGE:
            raise ProviderUnavailable
        return answer(ref, texts)  # type: ignore[arg-type]  # handed through

    world.embedders.answer = answer_of_the_old  # type: ignore[method-assign,assignment]  # as above


def test_a_rollback_that_is_driven_again_does_not_take_its_own_writes_for_stragglers() -> None:
    world, migration = switched()
    live = live_of(world)
    world.write("new", "written since", collection=live)
    back = world.system.rollback(OWNER, migration.id).migration

    def delete_and_die() -> None:
        world.vectors.remove(live, "new")
        kill()

    with world.at("data_migration.after_catch_up_pass", delete_and_die):
        world.settle()
    assert Status.COMPLETED == world.now(back).status
    assert "new" not in world.texts_of(SOURCE)
    assert 0 == world.store.count_conflicts("bot")


def test_after_a_rollback_that_was_cancelled_sweeps_go_on() -> None:
    world, migration = switched()
    world.system.rollback(OWNER, migration.id)
    world.deliver(before="migrations.phase.verification")
    world.system.cancel(OWNER, "bot")
    world.deliver()
    swept(world, migration)
    world.write("new", "a straggler")
    assert 1 == swept(world, migration).applied


def test_the_collection_left_by_a_rollback_is_swept_too() -> None:
    world, migration = switched()
    left = live_of(world)
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver()
    world.write("new", "a straggler", collection=left)
    assert 1 == swept(world, back).applied
    assert "a straggler" == world.texts_of(SOURCE)["new"]
    assert [] == world.wrongly_embedded(SOURCE, SMALL)


# --- when -----------------------------------------------------------------------------


def sweeps_run(world: World) -> int:
    world.watchdog.look()
    world.deliver()
    return world.ran.count("migrations.sweep")


def test_sweeps_come_soon_after_the_end_then_later_then_hourly() -> None:
    world, _ = switched(retention_hours=72)
    counts = []
    for seconds in (29, 2, 290, 20, 3500, 110, 3601):
        world.clock.sleep(seconds)
        counts.append(sweeps_run(world))
    assert [0, 1, 1, 2, 2, 3, 4] == counts


def test_a_sweep_that_does_not_get_through_comes_again_soon() -> None:
    world, _ = switched()
    world.write("new", "a straggler")
    world.vectors.fail("upsert", VectorStoreUnavailable())
    world.clock.sleep(31)
    assert 1 == sweeps_run(world)
    assert "new" not in world.texts_of(live_of(world))
    world.clock.sleep(31)
    assert 2 == sweeps_run(world)
    assert "a straggler" == world.texts_of(live_of(world))["new"]


@pytest.mark.parametrize("forgotten", ["old", "live"])
def test_a_collection_that_milvus_forgot_to_load_is_loaded_and_swept(forgotten: str) -> None:
    world, migration = switched()
    world.write("new", "a straggler")
    world.vectors.release(SOURCE if forgotten == "old" else live_of(world))
    assert 1 == swept(world, migration).applied


def test_two_watchdogs_enqueue_a_sweep_once() -> None:
    world, _ = switched()
    world.clock.sleep(31)
    world.watchdog.look()
    world.watchdog.look()
    assert 1 == len([task for task in world.pending() if task.name == "migrations.sweep"])


def test_a_sweep_whose_message_was_lost_is_sent_by_the_outbox() -> None:
    world, _ = switched()
    world.clock.sleep(31)
    world.dispatcher.fails_with = ProviderUnavailable()
    world.watchdog.look()
    world.dispatcher.fails_with = None
    world.clock.sleep(5)
    assert 1 == sweeps_run(world)


def test_no_sweep_is_due_while_a_rollback_runs_or_after_it() -> None:
    world, migration = switched()
    world.system.rollback(OWNER, migration.id)
    world.clock.sleep(31)
    assert [] == world.store.claim_due(Due.SWEEP, (30, 300, 3600))
    world.deliver()
    world.clock.sleep(31)
    back = world.store.latest("bot")
    assert [back.id] == world.store.claim_due(Due.SWEEP, (30, 300, 3600))
