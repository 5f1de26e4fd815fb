"""Snapshots of the old collection, conflicts, and what is held."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from migrations.model import messages
from migrations.model.chunks import Key, KeyRange
from migrations.model.config import EmbeddingRef, RollbackMode
from migrations.model.errors import (
    CollectionInUse,
    KeptNotFound,
    MigrationInProgress,
    NoLongerKept,
    OriginalStays,
    RollbackUnavailable,
    Superseded,
)
from migrations.model.left_behind import Conflict, ConflictReason, End, HoldReason
from migrations.model.requests import BotChange
from migrations.model.runs import Due, Migration, SweeperLease
from migrations.model.snapshot import SnapshotPart, WrittenRow
from migrations.model.states import Phase, Status
from tests.contract.state_store_world import (
    HOUR,
    LIMIT,
    NEW,
    OLD,
    ONCE,
    WINDOW_SECONDS,
    World,
    a_config,
    a_reverse,
    a_start,
    retired,
)


def a_part(number: int, after: Key | None = None, upto: Key | None = None) -> SnapshotPart:
    return SnapshotPart(number, KeyRange(after, upto), bytes(range(32)))


# --- snapshots ------------------------------------------------------------------------


@pytest.mark.parametrize("border", ["a\x00\"'\\é\n", "", 0, -(2**63), 2**63 - 1])
def test_a_frozen_part_comes_back_as_it_was_whatever_its_borders(state: World, border: Key) -> None:
    migration = state.reach(Status.RUNNING)
    for part in (a_part(0, None, border), a_part(1, border, None)):
        state.store.keep_part(migration.id, migration.epoch, part)
        assert part == state.store.snapshot_part(migration.id, part.number)
    assert state.store.snapshot_part(migration.id, 2) is None


def test_freezing_again_replaces_and_forgets_what_is_too_much(state: World) -> None:
    migration = state.reach(Status.RUNNING)
    for number in range(3):
        state.store.keep_part(migration.id, 1, a_part(number))
    again = replace(a_part(0, "a", "b"), digests=b"")
    state.store.keep_part(migration.id, 1, again)
    state.store.end_snapshot(migration.id, 1, 1)
    assert again == state.store.snapshot_part(migration.id, 0)
    assert state.store.snapshot_part(migration.id, 1) is None


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.ROLLED_BACK])
def test_only_the_epoch_at_work_freezes(state: World, status: Status) -> None:
    migration = state.reach(status)
    with pytest.raises(Superseded):
        state.store.keep_part(migration.id, migration.epoch, a_part(0))
    running = state.start(state.bot("other"))
    with pytest.raises(Superseded):
        state.store.keep_part(running.id, 2, a_part(0))
    with pytest.raises(Superseded):
        state.store.end_snapshot(running.id, 2, 0)


@pytest.mark.parametrize("key", ["a\x00\"'\\é\n", "", 0, -(2**63), 2**63 - 1])
def test_a_written_row_comes_back_with_all_that_its_key_has_been(state: World, key: Key) -> None:
    migration = state.reach(Status.RUNNING)
    store, id_ = state.store, migration.id
    for was, now in (([], b"1"), ([b"1"], b"2"), ([b"2"], None), ([b"1"], b"3")):
        store.note_written(id_, [WrittenRow(key, frozenset(was), now)])
    assert [WrittenRow(key, frozenset([b"1", b"2"]), b"3")] == store.written_rows(id_, 10)


def test_the_latest_written_rows_come_first_and_the_older_ones_are_forgotten(state: World) -> None:
    migration = state.reach(Status.RUNNING)
    store, id_ = state.store, migration.id
    store.note_written(id_, [])
    for key in ("a", "b", "c"):
        state.pass_time(1)
        store.note_written(id_, [WrittenRow(key)])
    assert ["c", "b"] == [row.key for row in store.written_rows(id_, 2)]
    store.forget_written(id_, older_than_seconds=0.5)
    assert ["c"] == [row.key for row in store.written_rows(id_, 10)]
    store.forget_snapshot(id_)
    assert [] == store.written_rows(id_, 10)


def test_only_the_sweeper_replaces_a_part(state: World) -> None:
    migration = state.reach(Status.COMPLETED)
    assert state.store.take_lease(SweeperLease(migration.id), "me", 60)
    state.store.replace_part(migration.id, "me", a_part(0))
    with pytest.raises(Superseded):
        state.store.replace_part(migration.id, "you", a_part(0))
    state.store.forget_snapshot(migration.id)
    assert state.store.snapshot_part(migration.id, 0) is None


def test_after_the_next_switch_nothing_is_swept_and_nothing_frozen(state: World) -> None:
    first = state.reach(Status.COMPLETED)
    assert state.store.take_lease(SweeperLease(first.id), "me", 60)
    state.store.replace_part(first.id, "me", a_part(0))
    second = state.complete(state.start(state.store.bot(first.bot_id)))
    assert state.store.take_lease(SweeperLease(second.id), "me", 60)
    state.store.replace_part(second.id, "me", a_part(0))
    assert not state.store.allows(SweeperLease(first.id))
    state.store.forget_earlier_snapshots(second.id)
    assert state.store.snapshot_part(first.id, 0) is None
    assert a_part(0) == state.store.snapshot_part(second.id, 0)


# --- a switch back that comes first ---------------------------------------------------


def back_at_once(state: World, migration: Migration) -> Migration:
    """A reverse run that switches first, right before its switch."""
    new = a_reverse(state.store.bot(migration.bot_id), migration)
    config = new.config.model_copy(update={"rollback_mode": RollbackMode.NOW})
    back = state.store.create(replace(new, config=config), LIMIT)[0]
    assert [messages.run(back.id, 1, Phase.FINALIZATION)] == state.messages(back)
    state.store.begin_phase(back.id, 1, Phase.FINALIZATION)
    state.store.begin_switch(back.id, 1)
    return state.now(back)


def with_parts(state: World, migration: Migration, *parts: SnapshotPart) -> Migration:
    assert state.store.take_lease(SweeperLease(migration.id), "me", 60)
    for part in parts:
        state.store.replace_part(migration.id, "me", part)
    return migration


def test_a_run_that_switches_first_takes_over_the_snapshot_with_its_switch(state: World) -> None:
    parts = [a_part(0, None, "k"), a_part(1, "k", None)]
    migration = with_parts(state, state.reach(Status.COMPLETED), *parts)
    assert state.store.has_whole_snapshot(migration.id)
    back = back_at_once(state, migration)
    assert parts[0] == state.store.snapshot_part(migration.id, 0)
    state.store.switch(back.id, 1, 72.0)
    assert [*parts, None] == [state.store.snapshot_part(back.id, number) for number in range(3)]
    assert state.store.snapshot_part(migration.id, 0) is None
    with pytest.raises(Superseded):  # who still sweeps for the other one
        state.store.replace_part(migration.id, "me", a_part(0))
    state.store.switch(back.id, 1, 72.0)
    assert parts[0] == state.store.snapshot_part(back.id, 0)


@pytest.mark.parametrize("parts", [[], [a_part(0, None, "k")]])
def test_without_a_whole_snapshot_it_does_not_switch(
    state: World, parts: list[SnapshotPart]
) -> None:
    migration = with_parts(state, state.reach(Status.COMPLETED), *parts)
    assert not state.store.has_whole_snapshot(migration.id)
    back, bot = back_at_once(state, migration), state.store.bot(migration.bot_id)
    with pytest.raises(RollbackUnavailable, match="mode: complete"):
        state.store.switch(back.id, 1, 72.0)
    assert (bot, Status.SWITCHING) == (state.store.bot(migration.bot_id), state.now(back).status)


def carrying_over(state: World) -> tuple[Migration, Migration]:
    """A run, and the one that has taken it back and carries over."""
    migration = with_parts(state, state.reach(Status.COMPLETED), a_part(0))
    back = back_at_once(state, migration)
    state.store.switch(back.id, 1, 72.0)
    state.store.complete_phase(back.id, 1, Phase.FINALIZATION)
    state.store.begin_phase(back.id, 1, Phase.CLEANUP)
    assert state.store.take_lease(SweeperLease(back.id), "carrier", 60)
    return migration, back


def test_one_that_still_carries_over_ends_when_somebody_goes_back_to_where_all_is(
    state: World,
) -> None:
    migration, back = carrying_over(state)
    again = back_at_once(state, back)
    assert (Status.COMPLETED, Status.ROLLED_BACK) == (
        state.now(back).status,
        state.now(migration).status,
    )
    assert "completed" == state.told(back)[-1]
    assert not state.store.heartbeat(back.id, 1)
    assert not state.store.allows(SweeperLease(back.id))
    state.store.switch(again.id, 1, 72.0)
    assert a_part(0) == state.store.snapshot_part(again.id, 0)


def test_one_that_still_carries_over_keeps_everybody_else_from_starting(state: World) -> None:
    _, back = carrying_over(state)
    bot = state.store.bot(back.bot_id)
    for new in (a_start(bot), a_reverse(bot, state.now(back))):
        with pytest.raises(MigrationInProgress):
            state.store.create(new, LIMIT)
    assert [] == state.store.claim_due(Due.SWEEP, (0, 0))


def test_one_that_switches_first_counts_against_no_limit(state: World) -> None:
    migration = with_parts(state, state.reach(Status.COMPLETED), a_part(0))
    for number in range(LIMIT):
        state.start(state.bot(f"other-{number}"))
    assert Status.SWITCHING is back_at_once(state, migration).status


def test_runs_that_were_undone_lately_are_known_for_as_long_as_asked(state: World) -> None:
    undone = state.reach(Status.ROLLED_BACK)
    state.reach(Status.COMPLETED)
    state.pass_time(50)
    assert [undone.id] == [migration.id for migration in state.store.undone_lately(60)]
    state.pass_time(11)
    assert [] == state.store.undone_lately(60)


# --- conflicts ------------------------------------------------------------------------


def test_conflicts_are_kept_the_newest_per_key_with_one_warning(state: World) -> None:
    migration = state.reach(Status.COMPLETED)
    other = state.reach(Status.COMPLETED)
    first = Conflict("b", {"text": "old"}, ConflictReason.LIVE_IS_NEWER)
    second = Conflict("b", {"text": "n\x00ew", "n": 1.5}, ConflictReason.NOT_EMBEDDED)
    gone = Conflict("a", None, ConflictReason.LIVE_IS_NEWER)
    state.store.record_conflicts(migration.id, [first])
    state.store.record_conflicts(migration.id, [second, gone])
    kept = replace(second, fields={"text": "n␀ew", "n": 1.5})
    assert [gone, kept] == state.store.conflicts(migration.id)
    assert [gone] == state.store.conflicts(migration.id, 1)
    assert (2, 0) == tuple(state.store.count_conflicts(m.bot_id) for m in (migration, other))
    (warning,) = state.now(migration).warnings
    assert ": 2 chunks" in warning
    assert ["conflicts_kept"] * 2 == state.told(migration)[-2:]


def test_breaches_are_one_warning_as_they_were_found_last(state: World) -> None:
    migration = state.reach(Status.COMPLETED)
    state.store.tell_breaches(migration.id, ["Half of it is found.", "Nor is the rest."])
    state.store.tell_breaches(migration.id, ["Nothing is found."])
    assert ("After the switch: Nothing is found.",) == state.now(migration).warnings
    assert ["canaries_breached"] * 2 == state.told(migration)[-2:]


# --- held targets ---------------------------------------------------------------------


def undone(state: World) -> Migration:
    """A rolled back migration whose target is held for a day."""
    migration = state.reach(Status.ROLLED_BACK)
    assert state.store.keep_target(migration.id, 5, 24)
    return migration


def test_a_held_target_says_all_that_a_next_run_must_know(state: World) -> None:
    migration = undone(state)
    held = state.store.kept(migration.target_collection)
    assert held is not None
    assert [held] == state.store.kept_of(migration.bot_id)
    assert (migration.bot_id, migration.id, HoldReason.ROLLED_BACK, NEW) == (
        held.bot_id,
        held.migration_id,
        held.reason,
        held.embedding,
    )
    assert (migration.source_collection, 5, None) == (
        held.source_collection,
        held.chunks,
        held.content_digest,
    )
    assert timedelta(hours=24) == held.drop_after - held.held_at
    assert "target_held" == state.told(migration)[-1]
    assert state.store.kept("nothing") is None
    assert [] == state.store.kept_of("nobody")


def test_holding_twice_changes_nothing(state: World) -> None:
    migration = undone(state)
    before = state.store.kept(migration.target_collection)
    state.pass_time(0)
    assert state.store.keep_target(migration.id, 7, 99)
    assert before == state.store.kept(migration.target_collection)
    assert 1 == state.told(migration).count("target_held")


@pytest.mark.parametrize("status", [Status.RUNNING, Status.SWITCHED, Status.COMPLETED])
def test_what_a_run_heads_for_or_a_bot_lives_in_is_not_held(state: World, status: Status) -> None:
    migration = state.reach(status)
    assert not state.store.keep_target(migration.id, 5, 24)
    assert state.store.kept(migration.target_collection) is None


def take_over(state: World, held_by: Migration, **changes: object) -> Migration:
    bot = state.store.bot(held_by.bot_id)
    wish = {"target_collection": held_by.target_collection, "target_adopted": True, **changes}
    return state.store.create(a_start(bot, **wish), LIMIT)[0]


def test_a_run_that_takes_a_held_target_over_ends_its_holding(state: World) -> None:
    migration = undone(state)
    second = take_over(state, migration)
    assert second.target_adopted
    assert state.store.kept(migration.target_collection) is None
    state.pass_time(25 * HOUR)
    assert [] == state.store.claim_due(Due.DROP, ONCE)


def test_a_refused_start_leaves_the_target_held(state: World) -> None:
    migration = undone(state)
    state.start(state.store.bot(migration.bot_id))
    with pytest.raises(Exception, match="is pending"):
        take_over(state, migration)
    assert state.store.kept(migration.target_collection) is not None


OTHER = EmbeddingRef(provider="local", model="large", dimension=128)


@pytest.mark.parametrize(
    "changes",
    [{"config": a_config(target=OTHER)}, {"target_collection": "another"}],
    ids=["embedding", "name"],
)
def test_a_run_that_does_not_fit_takes_nothing_over(
    state: World, changes: dict[str, object]
) -> None:
    migration = undone(state)
    with pytest.raises(NoLongerKept):
        take_over(state, migration, **changes)
    assert state.store.live(migration.bot_id) is None
    assert state.store.kept(migration.target_collection) is not None


def test_a_target_held_for_one_bot_is_not_taken_over_by_another(state: World) -> None:
    migration = undone(state)
    other = state.bot("other")
    wish = {"target_collection": migration.target_collection, "target_adopted": True}
    with pytest.raises(NoLongerKept):
        state.store.create(a_start(other, **wish), LIMIT)


def test_cancelling_a_run_that_took_over_undoes_the_target_though_it_never_made_it(
    state: World,
) -> None:
    second = take_over(state, undone(state))
    turned = state.store.request_cancel(second.id, "somebody")
    (message,) = state.messages(turned)
    assert [Phase.NEW_COLLECTION_CREATION, Phase.VALIDATION] == message["phases"]
    for phase in message["phases"]:
        state.store.record_undo(turned.id, turned.epoch, Phase(phase), None)
    assert Status.ROLLED_BACK is state.store.finish_rollback(turned.id, turned.epoch)


# --- retiring -------------------------------------------------------------------------


def test_retiring_forgets_the_previous_collection_and_holds_it(state: World) -> None:
    migration = retired(state)
    bot = state.store.bot(migration.bot_id)
    assert bot.previous is None
    assert migration.target_collection == bot.live.collection
    held = state.store.kept(migration.source_collection)
    assert held is not None
    assert (HoldReason.RETIRED, OLD, None, 7, "abcd") == (
        held.reason,
        held.embedding,
        held.source_collection,
        held.chunks,
        held.content_digest,
    )
    assert "retired" == state.told(migration)[-1]
    assert not state.store.retire(migration.id, 7, "abcd", 24)


def test_nothing_is_retired_before_its_time_or_while_a_migration_lives(state: World) -> None:
    migration = state.reach(Status.COMPLETED)
    assert not state.store.retire(migration.id, 7, "abcd", 24)
    assert [] == state.store.claim_due(Due.RETIRE, ONCE)
    state.pass_time(WINDOW_SECONDS)
    state.start(state.store.bot(migration.bot_id))
    assert [] == state.store.claim_due(Due.RETIRE, ONCE)
    assert not state.store.retire(migration.id, 7, "abcd", 24)
    assert state.store.bot(migration.bot_id).previous is not None


def test_an_older_run_retires_nothing_of_a_newer_one(state: World) -> None:
    first = state.reach(Status.COMPLETED)
    second = state.complete(state.start(state.store.bot(first.bot_id)))
    state.pass_time(WINDOW_SECONDS)
    assert not state.store.retire(first.id, 7, "abcd", 24)
    assert [second.id] == state.store.claim_due(Due.RETIRE, ONCE)


def test_what_a_second_switch_pushes_out_is_held_unread(state: World) -> None:
    first = state.reach(Status.COMPLETED)
    second = state.complete(state.start(state.store.bot(first.bot_id)))
    (held,) = state.store.kept_of(first.bot_id)
    assert (first.source_collection, HoldReason.RETIRED, None, second.id) == (
        held.collection,
        held.reason,
        held.content_digest,
        held.migration_id,
    )


def test_a_rollback_pushes_nothing_out(state: World) -> None:
    forward = state.reach(Status.COMPLETED)
    state.complete(state.start_back(forward))
    assert [] == state.store.kept_of(forward.bot_id)


def test_the_run_that_brought_a_bot_to_its_generation_is_found(state: World) -> None:
    migration = state.reach(Status.COMPLETED)
    assert state.now(migration) == state.store.switched_by(migration.bot_id, 2)
    assert state.store.switched_by(migration.bot_id, 3) is None
    assert state.store.switched_by("nobody", 2) is None


# --- dropping -------------------------------------------------------------------------


def dropped(state: World, collection: str, end: End = End.DROPPED) -> bool:
    with state.store.lock_kept(collection, end) as may_drop:
        return may_drop


def let_go(state: World, *, drop_originals: bool = True) -> Migration:
    """A migration whose old collection is held and may be dropped, if not said otherwise."""
    migration = retired(state)
    state.store.change_bot(migration.bot_id, BotChange(drop_originals=drop_originals))
    return migration


def test_a_held_collection_is_dropped_after_its_time_and_then_forgotten(state: World) -> None:
    migration = let_go(state)
    name = migration.source_collection
    assert not dropped(state, name)
    state.pass_time(25 * HOUR)
    assert dropped(state, name)
    assert "held_dropped" == state.told(migration)[-1]
    assert state.store.kept(name) is None
    assert not dropped(state, name)


def test_a_drop_that_fails_forgets_nothing(state: World) -> None:
    migration = let_go(state)
    state.pass_time(25 * HOUR)

    def fail_to_drop() -> None:
        with state.store.lock_kept(migration.source_collection) as may_drop:
            raise ZeroDivisionError(may_drop)

    with pytest.raises(ZeroDivisionError, match="True"):
        fail_to_drop()
    assert state.store.kept(migration.source_collection) is not None
    assert "held_dropped" not in state.told(migration)


def test_what_somebody_lives_in_is_not_dropped_although_it_is_held(state: World) -> None:
    """What a cleanup must be refused that once saw something else."""
    first = state.reach(Status.COMPLETED)
    state.store.change_bot(first.bot_id, BotChange(drop_originals=True))
    state.complete(state.start(state.store.bot(first.bot_id)))  # pushes the original out
    third = state.start(state.store.bot(first.bot_id), target_collection=first.source_collection)
    assert not dropped(state, first.source_collection)
    state.complete(third)
    assert not dropped(state, first.source_collection)
    assert state.store.kept(first.source_collection) is not None


def test_an_original_is_dropped_only_if_its_bot_says_so(state: World) -> None:
    migration = let_go(state, drop_originals=False)
    name, bot_id = migration.source_collection, migration.bot_id
    state.pass_time(25 * HOUR)
    assert not dropped(state, name)
    assert not state.store.may_be_dropped(bot_id, name)
    assert [True] == [held.stays for held in state.store.kept_of(bot_id)]
    state.store.change_bot(bot_id, BotChange(drop_originals=True))
    assert state.store.may_be_dropped(bot_id, name)
    assert [False] == [held.stays for held in state.store.kept_of(bot_id)]
    assert not dropped(state, name, End.RELEASED)
    assert dropped(state, name)


def test_an_original_that_was_released_is_shown_and_never_due_again(state: World) -> None:
    migration = let_go(state, drop_originals=False)
    name = migration.source_collection
    assert not dropped(state, name, End.RELEASED)
    state.pass_time(25 * HOUR)
    assert [migration.id] == state.store.claim_due(Due.DROP, ONCE)
    assert dropped(state, name, End.RELEASED)
    assert "original_kept" == state.told(migration)[-1]
    state.pass_time(25 * HOUR)
    assert [] == state.store.claim_due(Due.DROP, ONCE)
    assert not dropped(state, name, End.RELEASED)
    held = state.store.kept(name)
    assert held is not None
    assert (None, True) == (held.drop_after, held.stays)


def test_a_released_original_is_due_when_its_bot_lets_it_go(state: World) -> None:
    migration = let_go(state, drop_originals=False)
    state.pass_time(25 * HOUR)
    assert dropped(state, migration.source_collection, End.RELEASED)
    state.store.change_bot(migration.bot_id, BotChange(drop_originals=True))
    assert [migration.id] == state.store.claim_due(Due.DROP, ONCE)
    assert dropped(state, migration.source_collection)


def test_an_original_that_is_gone_is_forgotten_whatever_its_bot_says(state: World) -> None:
    migration = let_go(state, drop_originals=False)
    state.pass_time(25 * HOUR)
    assert dropped(state, migration.source_collection, End.GONE)
    assert [] == state.store.kept_of(migration.bot_id)


def test_what_a_run_has_made_may_be_dropped_and_where_a_rollback_went_may_not(
    state: World,
) -> None:
    forward = state.reach(Status.COMPLETED)
    state.complete(state.start_back(forward))
    assert state.store.may_be_dropped(forward.bot_id, forward.target_collection)
    assert not state.store.may_be_dropped(forward.bot_id, forward.source_collection)
    assert not state.store.may_be_dropped("another", forward.target_collection)


def test_a_hold_that_is_extended_warns_once_and_is_due_when_it_is_over(state: World) -> None:
    migration = retired(state)
    name = migration.source_collection
    state.pass_time(25 * HOUR)
    state.store.claim_due(Due.DROP, ONCE)
    for _ in range(2):
        state.store.keep_longer(name, 24, "Somebody writes there.")
    assert ("Somebody writes there.",) == state.now(migration).warnings
    assert "drop_refused" == state.told(migration)[-1]
    state.pass_time(23 * HOUR)
    assert [] == state.store.claim_due(Due.DROP, ONCE)
    state.pass_time(2 * HOUR)
    assert [migration.id] == state.store.claim_due(Due.DROP, ONCE)


def test_what_was_held_unread_is_known_once_it_is_measured(state: World) -> None:
    first = state.reach(Status.COMPLETED)
    state.complete(state.start(state.store.bot(first.bot_id)))
    state.store.measure_kept(first.source_collection, 9, "ef", 24)
    held = state.store.kept(first.source_collection)
    assert held is not None
    assert (9, "ef") == (held.chunks, held.content_digest)
    assert [] == state.store.claim_due(Due.DROP, ONCE)


# --- asked for by somebody ----------------------------------------------------------------


def test_kept_collections_are_listed_by_name_owner_and_bot(state: World) -> None:
    first, second = undone(state), undone(state)
    names = sorted([first.target_collection, second.target_collection])
    owner = first.owner
    assert names == [one.collection for one in state.store.kept_page(None, None, None, 10)]
    assert names[1:] == [one.collection for one in state.store.kept_page(owner, None, names[0], 1)]
    (of_bot,) = state.store.kept_page(owner, second.bot_id, None, 10)
    assert second.target_collection == of_bot.collection
    assert [] == state.store.kept_page("nobody", None, None, 10)


def test_what_is_kept_longer_is_not_due_before(state: World) -> None:
    migration = undone(state)
    longer = state.store.keep_for(migration.target_collection, 48, "boss")
    assert state.store.kept(migration.target_collection) == longer
    state.pass_time(25 * HOUR)
    assert not dropped(state, migration.target_collection)
    state.pass_time(24 * HOUR)
    assert dropped(state, migration.target_collection)
    assert {"kept_longer", "held_dropped"} <= set(state.told(migration))


def test_what_is_kept_for_good_is_never_due_until_somebody_asks(state: World) -> None:
    migration = undone(state)
    for _ in range(2):
        assert None is state.store.keep_for(migration.target_collection, None, "boss").drop_after
    assert 1 == state.told(migration).count("kept_longer")
    state.store.change_bot(migration.bot_id, BotChange(drop_originals=True))
    state.pass_time(10_000 * HOUR)
    assert [] == state.store.claim_due(Due.DROP, ONCE)
    for _ in range(2):
        state.store.let_drop(migration.target_collection, "boss")
    assert 1 == state.told(migration).count("drop_asked")
    assert [migration.id] == state.store.claim_due(Due.DROP, ONCE)


def test_what_is_to_be_dropped_now_is_due_now(state: World) -> None:
    migration = undone(state)
    assert [] == state.store.claim_due(Due.DROP, ONCE)
    state.store.let_drop(migration.target_collection, "boss")
    state.store.due_again(Due.DROP, migration.id, 0)
    assert [migration.id] == state.store.claim_due(Due.DROP, ONCE)


def test_an_original_is_neither_let_go_nor_kept_otherwise_than_it_is(state: World) -> None:
    migration = retired(state)
    name = migration.source_collection
    before = state.store.kept(name)
    assert before == state.store.keep_for(name, 1, "boss")
    with pytest.raises(OriginalStays):
        state.store.let_drop(name, "boss")
    state.store.change_bot(migration.bot_id, BotChange(drop_originals=True))
    assert not state.store.let_drop(name, "boss").stays


def test_what_is_not_kept_is_neither_kept_longer_nor_dropped(state: World) -> None:
    live = state.bot().live.collection
    with pytest.raises(KeptNotFound):
        state.store.keep_for(live, 1, "boss")
    with pytest.raises(KeptNotFound):
        state.store.let_drop(live, "boss")


def test_what_somebody_lives_in_is_not_let_go(state: World) -> None:
    first = state.reach(Status.COMPLETED)
    state.store.change_bot(first.bot_id, BotChange(drop_originals=True))
    state.complete(state.start(state.store.bot(first.bot_id)))  # pushes the original out
    state.start(state.store.bot(first.bot_id), target_collection=first.source_collection)
    with pytest.raises(CollectionInUse):
        state.store.let_drop(first.source_collection, "boss")


# --- conflicts, judged ----------------------------------------------------------------------


def in_conflict(state: World) -> Migration:
    """Three conflicts, one after the other."""
    migration = state.reach(Status.COMPLETED)
    for key in ("b", "c", "a"):
        one = Conflict(key, {"text": key}, ConflictReason.CAME_BACK)
        state.store.record_conflicts(migration.id, [one])
        state.pass_time(1)
    return migration


def test_conflicts_are_listed_with_the_newest_first_in_pages(state: World) -> None:
    migration, other = in_conflict(state), in_conflict(state)
    first = state.store.conflict_page(migration.bot_id, None, None, 2)
    assert ["a", "c"] == [one.conflict.key for one in first]
    (last,) = state.store.conflict_page(migration.bot_id, None, first[-1].place, 2)
    assert ("b", {"text": "b"}, migration.id) == (
        last.conflict.key,
        last.conflict.fields,
        last.place.migration_id,
    )
    assert [] == state.store.conflict_page(migration.bot_id, other.id, None, 2)
    assert last.place == type(last.place).after(last.place.cursor)


def test_conflicts_that_are_judged_are_forgotten_and_the_warning_counts_the_others(
    state: World,
) -> None:
    migration, other = in_conflict(state), in_conflict(state)
    assert 1 == state.store.settle_conflicts(migration.bot_id, ["a", "nothing"], "boss")
    (warning,) = state.now(migration).warnings
    assert ": 2 chunks" in warning
    assert warning.endswith(": b, c.")
    assert 2 == state.store.settle_conflicts(migration.bot_id, None, "boss")
    assert () == state.now(migration).warnings
    assert 0 == state.store.settle_conflicts(migration.bot_id, None, "boss")
    assert ["conflicts_settled"] * 2 == state.told(migration)[-2:]
    assert 3 == state.store.count_conflicts(other.bot_id)
