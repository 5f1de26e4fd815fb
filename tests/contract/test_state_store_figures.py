"""What is counted over all bots and migrations: the same by the fake and by PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.model.figures import BotFigures, Figures, RunFigures
from migrations.model.left_behind import Conflict, ConflictReason, HoldReason
from migrations.model.notifications import NewDelivery
from migrations.model.runs import ApplierLease
from migrations.model.states import Kind, Phase, Status
from migrations.model.writes import Write, WriteKind
from tests.contract.state_store_world import WINDOW_SECONDS, World, retired


def about(seconds: float) -> Any:
    """However busy the machine is."""
    return pytest.approx(seconds + 20, abs=25)


def counted(state: World) -> Figures:
    return state.store.figures()


def test_nothing_is_counted_where_there_is_nothing(state: World) -> None:
    found = counted(state)
    assert (RunFigures(), BotFigures(), {}, {}) == (
        found.runs,
        found.bots,
        dict(found.kept),
        dict(found.conflicts),
    )
    assert (0, 0, 0) == (
        found.journals.waiting_writes,
        found.journals.failed_writes,
        found.outbox.unsent,
    )


def test_migrations_are_counted_by_direction_and_status_and_those_at_work_by_phase(
    state: World,
) -> None:
    for status in (Status.RUNNING, Status.RUNNING, Status.WAITING, Status.ROLLED_BACK):
        state.reach(status)
    state.start_back(state.reach(Status.COMPLETED))
    runs = counted(state).runs
    assert {
        (Kind.FORWARD, Status.RUNNING): 2,
        (Kind.FORWARD, Status.WAITING): 1,
        (Kind.FORWARD, Status.ROLLED_BACK): 1,
        (Kind.FORWARD, Status.COMPLETED): 1,
        (Kind.REVERSE, Status.PENDING): 1,
    } == dict(runs.by_status)
    assert {Phase.FINALIZATION: 2, Phase.VALIDATION: 1} == dict(runs.by_phase)


def test_silence_waiting_and_the_highest_epoch_are_those_of_the_worst(state: World) -> None:
    state.reach(Status.WAITING)
    migration = state.reach(Status.RUNNING)
    state.pass_time(120)
    runs = counted(state).runs
    assert about(120) == runs.longest_silence_seconds
    assert 0 < runs.longest_wait_seconds
    assert state.store.redrive(migration.id, 1)
    runs = counted(state).runs
    assert 2 == runs.highest_epoch
    assert about(0) == runs.longest_silence_seconds


def test_chunks_are_those_of_live_migrations_and_failures_are_told_by_their_codes(
    state: World,
) -> None:
    totals = {"total_chunks": 100, "processed_chunks": 40, "failed_chunks": 3}
    for status in (Status.RUNNING, Status.RUNNING, Status.FAILED):
        migration = state.reach(status)
        state.store.record_failed_chunk(migration.id, "a", "text-too-long", "It is too long.")
        state.store.note(migration.id, migration.epoch, totals=totals)
    state.store.record_failed_chunk(state.reach(Status.RUNNING).id, "b", "refused", "No.")
    runs = counted(state).runs
    assert (200, 80, 6) == (runs.total_chunks, runs.processed_chunks, runs.failed_chunks)
    assert {"text-too-long": 2, "refused": 1} == dict(runs.failed_by_code)


def test_bots_are_counted_and_so_are_their_ways_back(state: World) -> None:
    state.bot()
    state.complete(state.start(state.bot("one")))
    state.pass_time(WINDOW_SECONDS / 2)
    state.complete(state.start(state.bot("two")))
    bots = counted(state).bots
    assert (3, 2) == (bots.bots, bots.with_way_back)
    assert pytest.approx(WINDOW_SECONDS / 2, abs=60) == bots.first_end_seconds
    state.pass_time(WINDOW_SECONDS / 2 + 60)
    assert 1 == counted(state).bots.with_way_back
    assert 2 == counted(state).bots.aliases_behind


def test_kept_collections_and_conflicts_are_counted_by_their_reasons(state: World) -> None:
    migration = retired(state)
    undone = state.reach(Status.ROLLED_BACK)
    assert state.store.keep_target(undone.id, 5, 24)
    state.store.record_conflicts(
        migration.id, [Conflict(key, None, ConflictReason.CAME_BACK) for key in "ab"]
    )
    found = counted(state)
    assert {HoldReason.RETIRED: 1, HoldReason.ROLLED_BACK: 1} == dict(found.kept)
    assert {ConflictReason.CAME_BACK: 2} == dict(found.conflicts)


def test_writes_that_wait_and_such_as_failed_are_counted(state: World) -> None:
    state.bot()
    put = [Write(WriteKind.UPSERT, key, {}) for key in "abc"]
    state.store.append("bot", put[:1], 100)
    state.pass_time(30)
    state.store.append("bot", put[1:], 100)
    journals = counted(state).journals
    assert (3, 0) == (journals.waiting_writes, journals.failed_writes)
    assert about(30) == journals.oldest_seconds
    assert state.store.take_lease(ApplierLease("bot"), "me", 10)
    assert state.store.advance("bot", "me", 1, 0, 3)
    journals = counted(state).journals
    assert (0, 0) == (journals.waiting_writes, journals.oldest_seconds)


def test_messages_that_were_not_sent_are_counted_and_such_as_are_out_of_date_are_not(
    state: World,
) -> None:
    migration = state.start()
    state.pass_time(20)
    outbox = counted(state).outbox
    assert (1, about(20)) == (outbox.unsent, outbox.oldest_seconds)
    state.store.mark_sent([message.id for message in state.store.unsent_of(migration.id)])
    assert 0 == counted(state).outbox.unsent


def test_messages_that_were_not_taken_are_counted_and_such_as_were_given_up(state: World) -> None:
    state.start()
    state.store.tell([], [NewDelivery(one, "msg_1", {}) for one in ("ops", "chat", "night")])
    state.pass_time(20)
    first, second, _ = state.store.claim_deliveries(["ops", "chat", "night"], 10, 60)
    state.store.delivered(first.id)
    state.store.give_up(second.id, "It wants no more of them.")
    found = counted(state).notifications
    assert (1, 1) == (found.waiting, found.given_up)
    assert about(20) == found.oldest_seconds
