"""Back at once: the bot switches back first, and what was written since follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from migrations.model import task_names as names
from migrations.model.chunks import KeyRange
from migrations.model.config import RollbackMode
from migrations.model.errors import (
    ProviderAuthenticationFailed,
    ProviderUnavailable,
    RollbackUnavailable,
    Superseded,
)
from migrations.model.left_behind import NOT_KNOWN_IN_COMMON, ConflictReason
from migrations.model.runs import ON_THEIR_WAY, Due, Migration, SweeperLease
from migrations.model.snapshot import snapshot_of
from migrations.model.states import Phase, Status
from migrations.way_back.at_once import OTHER_KEYS
from migrations.way_back.late_writes import sweep
from tests.contract.state_store_world import World as StateWorld
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import ALIAS, OWNER, SOURCE, World, kill

CLEANUP = names.phase_task(Phase.CLEANUP)


def switched(texts: Any = 12, **wish: Any) -> tuple[World, Migration]:
    world = World(texts)
    return world, world.complete(retry_delay=1.0, **wish)


def go_back(world: World, migration: Migration) -> Migration:
    return world.system.rollback(OWNER, migration.id, RollbackMode.NOW).migration


def written_since(world: World) -> None:
    """Insert, change and delete where the bot answers from, as its application does."""
    live = world.bot.live.collection
    world.write("new", "written since", collection=live)
    world.write("k000", "changed since", collection=live)
    world.vectors.remove(live, "k001")


def has_followed(world: World) -> None:
    texts = world.texts_of(SOURCE)
    assert ("written since", "changed since") == (texts["new"], texts["k000"])
    assert "k001" not in texts
    assert 12 == len(texts)
    assert [] == world.wrongly_embedded(SOURCE, SMALL)
    assert 0 == world.store.count_conflicts("bot")


def test_the_bot_is_back_before_anything_is_read_or_embedded() -> None:
    world, migration = switched()
    left = world.bot.live.collection
    written_since(world)
    go_back(world, migration)
    before = world.vectors.calls.copy(), world.embedders.calls
    world.deliver(before=CLEANUP)
    live, previous = world.bot.live, world.bot.previous
    assert (SOURCE, SMALL, 3) == (live.collection, live.embedding, live.generation)
    assert previous is not None
    assert (left, LARGE) == (previous.collection, previous.embedding)
    assert SOURCE == world.vectors.resolve_alias(ALIAS)
    calls = world.vectors.calls - before[0]
    assert not {"scan", "scan_rows", "fetch", "fetch_rows", "upsert", "flush"} & set(calls)
    assert before[1] == world.embedders.calls
    world.deliver()
    has_followed(world)


def test_it_is_a_run_with_events_and_ends_as_a_rollback_does() -> None:
    world, migration = switched()
    back = go_back(world, migration)
    world.deliver()
    assert (Status.COMPLETED, Status.ROLLED_BACK) == (
        world.now(back).status,
        world.now(migration).status,
    )
    told = world.told(back)
    assert ["started", "phase_begun", "switch_begun", "switched"] == told[:4]
    assert "completed" == told[-1]
    assert (Phase.FINALIZATION, Phase.CLEANUP) == world.now(back).completed_phases


def test_the_rows_on_their_way_are_counted_and_count_down() -> None:
    world, migration = switched()
    written_since(world)
    back = go_back(world, migration)
    on_their_way = lambda: world.system.progress(OWNER, back.id).rows_on_their_way  # noqa: E731
    assert on_their_way() is None
    seen: list[int | None] = []
    with world.at("sweep.before_apply", lambda: seen.append(on_their_way())):
        world.deliver()
    assert ([3], 0) == (seen, on_their_way())


def test_until_all_has_followed_the_bot_can_go_nowhere_else() -> None:
    world, migration = switched()
    written_since(world)
    back = go_back(world, migration)
    world.embedders.fail(ProviderUnavailable(), times=None)
    world.deliver(before=CLEANUP)
    assert world.store.live("bot") == world.now(back)
    assert [] == world.store.claim_due(Due.RETIRE, (0, 300))


POINTS = [
    "finalization.before_run",
    "finalization.before_intent",
    "finalization.before_switch",
    "finalization.after_switch",
    "finalization.after_alias",
    "finalization.after_run",
    "cleanup.before_run",
    "sweep.before_apply",
    "sweep.before_replacing",
    "cleanup.after_run",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_at_any_point_loses_nothing(point: str) -> None:
    world, migration = switched()
    written_since(world)
    back = go_back(world, migration)
    with world.at(point, kill):
        world.settle()
    assert Status.COMPLETED == world.now(back).status
    assert 1 == world.told(back).count("switched")
    assert (SOURCE, 3) == (world.bot.live.collection, world.bot.live.generation)
    assert SOURCE == world.vectors.resolve_alias(ALIAS)
    assert 0 == world.now(back).totals[ON_THEIR_WAY]
    has_followed(world)


def test_a_worker_that_dies_between_two_parts_has_said_how_many_rows_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("migrations.copying.comparison.PAGE_SIZE", 4)
    world, migration = switched()
    written_since(world)
    world.write("k008", "changed since", collection=world.bot.live.collection)
    back = go_back(world, migration)
    seen: list[int | None] = []

    def look_and_die() -> None:
        seen.append(world.now(back).totals[ON_THEIR_WAY])
        kill()

    with world.at("sweep.before_apply", lambda: None, look_and_die):
        world.settle()
    assert [2] == seen
    assert "changed since" == world.texts_of(SOURCE)["k008"]
    assert 0 == world.now(back).totals[ON_THEIR_WAY]
    has_followed(world)


@pytest.mark.parametrize("call", ["upsert", "delete"])
def test_what_was_noted_and_not_written_when_a_worker_died_did_not_come_back(call: str) -> None:
    world, migration = switched()
    written_since(world)
    go_back(world, migration)
    world.vectors.before(call, kill)
    world.settle()
    has_followed(world)


def test_what_is_written_to_the_old_collection_meanwhile_stays() -> None:
    world, migration = switched()
    written_since(world)
    go_back(world, migration)

    def write_there() -> None:
        world.write("k002", "newer")
        world.write("newest", "of all")
        world.vectors.remove(SOURCE, "k003")

    with world.at("finalization.after_alias", write_there):
        world.deliver()
    texts = world.texts_of(SOURCE)
    assert ("newer", "of all") == (texts["k002"], texts["newest"])
    assert "k003" not in texts
    assert ("written since", "changed since") == (texts["new"], texts["k000"])


def test_a_chunk_that_both_have_changed_stays_as_readers_see_it_and_the_other_is_kept() -> None:
    world, migration = switched()
    world.write("k000", "changed there", collection=world.bot.live.collection)
    back = go_back(world, migration)
    with world.at("finalization.after_alias", lambda: world.write("k000", "changed here")):
        world.deliver()
    assert "changed here" == world.texts_of(SOURCE)["k000"]
    (kept,) = world.store.conflicts(back.id)
    assert ("k000", ConflictReason.LIVE_IS_NEWER) == (kept.key, kept.reason)
    assert kept.fields is not None
    assert "changed there" == kept.fields["text"]


def test_what_a_sweep_had_forwarded_is_not_brought_back_as_a_write_of_users() -> None:
    world, migration = switched()
    world.write("late", "a straggler")
    assert 1 == sweep(world.services, world.now(migration)).applied
    before = world.contents(SOURCE)
    back = go_back(world, migration)
    world.deliver()
    assert before == world.contents(SOURCE)
    assert 0 == world.now(back).totals[ON_THEIR_WAY]


def test_a_straggler_that_no_sweep_has_seen_is_in_what_is_live() -> None:
    world, migration = switched()
    world.write("late", "a straggler")
    go_back(world, migration)
    world.deliver()
    assert "a straggler" == world.texts_of(SOURCE)["late"]


def test_a_sweep_that_goes_on_meanwhile_does_no_harm() -> None:
    world, migration = switched()
    world.write("late", "a straggler")
    written_since(world)

    def back_in_the_middle() -> None:
        go_back(world, migration)
        world.deliver()

    with (
        world.at("sweep.before_replacing", back_in_the_middle),
        pytest.raises(Superseded),
    ):
        sweep(world.services, world.now(migration))
    assert "a straggler" == world.texts_of(SOURCE)["late"]
    assert "written since" == world.texts_of(SOURCE)["new"]
    assert 0 == world.store.count_conflicts("bot")


def test_what_the_run_had_left_out_by_permission_is_still_there() -> None:
    world = World(texts=["poison", *(f"text {i}" for i in range(11))])
    world.embedders.refuse("poison")
    migration = world.complete(max_failed_ratio=0.5, retry_delay=1.0)
    written = world.bot.live.collection
    world.write("k002", "changed since", collection=written)
    back = go_back(world, migration)
    world.deliver()
    texts = world.texts_of(SOURCE)
    assert ("poison", "changed since") == (texts["k000"], texts["k002"])
    assert sweep(world.services, world.now(back)).quiet


def test_a_write_after_the_switch_to_what_was_left_out_is_carried_over() -> None:
    world = World(texts=["poison", *(f"text {i}" for i in range(11))])
    world.embedders.refuse("poison")
    migration = world.complete(max_failed_ratio=0.5, retry_delay=1.0)
    world.write("k000", "mended since", collection=world.bot.live.collection)
    go_back(world, migration)
    world.deliver()
    assert "mended since" == world.texts_of(SOURCE)["k000"]


def test_what_stood_twice_and_was_written_or_deleted_since_follows_too() -> None:
    world = World()
    world.double("k000", "a second row", collection=SOURCE)
    world.double("k001", "a second row", collection=SOURCE)
    migration = world.complete(duplicate_keys="keep_one", retry_delay=1.0)
    assert Status.COMPLETED is migration.status
    world.write("k000", "changed since", collection=world.bot.live.collection)
    world.vectors.remove(world.bot.live.collection, "k001")
    go_back(world, migration)
    world.deliver()
    assert "changed since" == world.texts_of(SOURCE)["k000"]
    assert 11 == len(world.texts_of(SOURCE))
    assert 0 == world.store.count_conflicts("bot")


def test_a_text_that_the_old_model_does_not_take_is_kept_for_a_person() -> None:
    world, migration = switched()
    world.write("new", "poison", collection=world.bot.live.collection)
    world.embedders.refuse("poison")
    back = go_back(world, migration)
    world.deliver()
    assert Status.COMPLETED == world.now(back).status
    assert ["new"] == [kept.key for kept in world.store.conflicts(back.id)]
    assert 1 == world.system.progress(OWNER, back.id).failed_chunks
    assert sweep(world.services, world.now(back)).quiet
    go_back(world, back)
    world.deliver()
    assert "poison" == world.texts_of(world.bot.live.collection)["new"]


@pytest.mark.parametrize(
    "fault", [ProviderUnavailable(), ProviderAuthenticationFailed("No such key.")]
)
def test_an_old_model_that_is_away_holds_up_the_writes_and_not_the_switch(
    fault: Exception,
) -> None:
    world, migration = switched()
    written_since(world)
    world.embedders.fail(fault, times=None)
    back = go_back(world, migration)
    waited: list[str | None] = []

    def look(_: object) -> None:
        assert SOURCE == world.bot.live.collection
        waited.append(world.now(back).waiting_for)
        if len(waited) > 30:
            world.embedders.recover()

    world.embedders.on_embed = look
    world.deliver()
    assert SOURCE == world.bot.live.collection
    assert any(waited)
    assert Status.COMPLETED == world.now(back).status
    has_followed(world)


def test_it_can_be_taken_back_in_its_turn_either_way() -> None:
    for mode in RollbackMode:
        world, migration = switched()
        new = world.bot.live.collection
        written_since(world)
        back = go_back(world, migration)
        world.deliver()
        world.write("k002", "changed later")
        world.vectors.remove(SOURCE, "new")
        again = world.system.rollback(OWNER, back.id, mode).migration
        world.deliver()
        assert Status.COMPLETED == world.now(again).status, mode
        assert (new, 4) == (world.bot.live.collection, world.bot.live.generation)
        assert world.texts_of(SOURCE) == world.texts_of(new)
        assert [] == world.wrongly_embedded(new, LARGE)


def test_late_writes_to_the_collection_that_was_left_are_swept_as_ever() -> None:
    world, migration = switched()
    left = world.bot.live.collection
    back = go_back(world, migration)
    world.deliver()
    world.write("late", "a straggler", collection=left)
    assert 1 == sweep(world.services, world.now(back)).applied
    assert "a straggler" == world.texts_of(SOURCE)["late"]


def test_a_run_to_the_next_model_can_start_afterwards() -> None:
    world, migration = switched()
    go_back(world, migration)
    world.deliver()
    world.start()
    world.deliver()
    assert (LARGE, 4) == (world.bot.live.embedding, world.bot.live.generation)


@pytest.mark.parametrize("found_out", ["while it waits", "while it carries"])
def test_it_can_be_taken_back_at_once_while_rows_are_still_on_their_way(found_out: str) -> None:
    world, migration = switched()
    new = world.bot.live.collection
    written_since(world)
    world.write("k009", "the last one", collection=new)
    back = go_back(world, migration)
    again: list[Migration] = []

    def go_there_again(*_: object) -> None:
        if again or world.now(back).status is not Status.SWITCHED:
            return
        complete, now = world.system.status(OWNER, "bot").rollback.options
        assert (False, True) == (complete.ready, now.ready)
        assert "still on their way" in complete.blockers[0]
        again.append(go_back(world, back))

    if found_out == "while it waits":
        world.embedders.fail(ProviderUnavailable(), times=None, model="small")
        world.embedders.on_embed = go_there_again
    else:
        world.store.note_written = _then(world.store.note_written, go_there_again)  # type: ignore[method-assign]
    world.settle()
    (there,) = again
    assert (Status.COMPLETED, Status.ROLLED_BACK, Status.ROLLED_BACK) == (
        world.now(there).status,
        world.now(back).status,
        world.now(migration).status,
    )
    assert (new, 4) == (world.bot.live.collection, world.bot.live.generation)
    texts = world.texts_of(new)
    assert ("written since", "changed since", "the last one") == tuple(
        texts[key] for key in ("new", "k000", "k009")
    )
    assert "k001" not in texts
    assert [] == world.wrongly_embedded(new, LARGE)
    assert 0 == world.store.count_conflicts("bot")


def _then(call: Callable[..., None], more: Callable[[], None]) -> Callable[..., None]:
    def both(*args: Any) -> None:
        call(*args)
        more()

    return both


def test_it_waits_for_no_place_among_the_runs_that_may_be_driven() -> None:
    world = World(settings={"max_concurrent_migrations": 1})
    migration = world.complete()
    state = StateWorld(world.store, world.clock.sleep, raise_generation=lambda _: None)
    state.start(state.bot("another"))
    complete, now = world.system.status(OWNER, "bot").rollback.options
    assert (False, True) == (complete.ready, now.ready)
    go_back(world, migration)
    world.deliver(before=CLEANUP)
    assert SOURCE == world.bot.live.collection


# --- when it cannot be ------------------------------------------------------------------


def given_keys() -> tuple[World, Migration]:
    world = World(key_of=lambda i: i + 1, keys_are_given=True)
    return world, world.complete()


def no_snapshot() -> tuple[World, Migration]:
    world, migration = switched()
    world.store.forget_snapshot(migration.id)
    return world, migration


@pytest.mark.parametrize(
    ("made", "sentence"), [(given_keys, OTHER_KEYS), (no_snapshot, NOT_KNOWN_IN_COMMON)]
)
def test_what_it_cannot_do_is_refused_and_shown_and_the_other_mode_is_open(
    made: Callable[[], tuple[World, Migration]], sentence: str
) -> None:
    world, migration = made()
    complete, now = world.system.status(OWNER, "bot").rollback.options
    assert (True, False, (sentence,)) == (complete.ready, now.ready, now.blockers)
    with pytest.raises(RollbackUnavailable) as refused:
        go_back(world, migration)
    assert sentence == refused.value.message
    assert "mode: complete" in sentence
    world.system.rollback(OWNER, migration.id)
    world.deliver()
    assert SOURCE == world.bot.live.collection


def test_a_first_snapshot_that_was_cut_short_is_completed_by_the_next_sweep() -> None:
    world, migration = no_snapshot()
    assert world.store.take_lease(SweeperLease(migration.id), "it dies", 60)
    chunks = next(world.vectors.scan(world.vectors.describe(SOURCE), page_size=4))
    begun = snapshot_of(0, KeyRange(None, "k003"), chunks)
    world.store.replace_part(migration.id, "it dies", begun)
    with pytest.raises(RollbackUnavailable):
        go_back(world, migration)
    world.clock.sleep(61)
    assert not sweep(world.services, world.now(migration)).quiet
    assert begun == world.store.snapshot_part(migration.id, 0)
    written_since(world)
    world.write("k011", "a straggler")
    go_back(world, migration)
    world.deliver()
    has_followed(world)
    assert "a straggler" == world.texts_of(SOURCE)["k011"]


def test_once_the_left_collection_was_looked_at_again_it_can() -> None:
    world, migration = no_snapshot()
    sweep(world.services, world.now(migration))
    written_since(world)
    go_back(world, migration)
    world.deliver()
    has_followed(world)


def test_a_snapshot_that_is_lost_before_the_switch_ends_it_and_nothing_has_moved() -> None:
    world, migration = switched()
    bot = world.bot
    back = go_back(world, migration)
    world.store.forget_snapshot(migration.id)
    world.deliver()
    assert (Status.ROLLED_BACK, bot) == (world.now(back).status, world.bot)
    assert Status.COMPLETED == world.now(migration).status


def test_before_the_switch_both_modes_cancel() -> None:
    world = World()
    migration = world.start()
    started = world.system.rollback(OWNER, migration.id, RollbackMode.NOW)
    assert (migration.id, False) == (started.migration.id, started.created)


def test_a_collection_that_milvus_has_forgotten_to_load_is_loaded_first() -> None:
    world, migration = switched()
    world.vectors.release(SOURCE)
    go_back(world, migration)
    loaded: list[bool] = []
    with world.at(
        "finalization.before_switch", lambda: loaded.append(world.vectors.is_loaded(SOURCE))
    ):
        world.deliver()
    assert [True] == loaded
