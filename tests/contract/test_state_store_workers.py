"""Workers say that they are there: alike in memory and in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from migrations.model import task_names as names
from migrations.model.workers import TaskAtWork, WorkerNote
from tests.contract.state_store_world import World


def a_note(state: World, worker_id: str = "w1", *, ahead_seconds: float = 0.0) -> WorkerNote:
    clock: datetime = state.store.now() + timedelta(seconds=ahead_seconds)
    return WorkerNote(worker_id, "batch@host", "host", 7, (names.BATCH,), "1.2", clock)


def test_a_worker_is_known_by_what_it_said_last(state: World) -> None:
    note, run = a_note(state), uuid4()
    state.store.note_worker(note)
    (first,) = state.store.workers()
    work = (TaskAtWork(names.BATCH, run, 3), TaskAtWork(names.APPLY_JOURNAL, None, 1))
    state.pass_time(5)
    state.store.note_worker(replace(note, queues=(), work=work, clock=state.store.now()))
    (worker,) = state.store.workers()
    assert ((), work, 3) == (worker.queues, worker.work, worker.batches_of(run))
    assert ("batch@host", "host", 7, "1.2") == (
        worker.name,
        worker.host,
        worker.pid,
        worker.version,
    )
    assert worker.started_at < worker.heartbeat_at
    assert first.heartbeat_at <= worker.heartbeat_at
    assert worker.silent_seconds < 5


def test_silence_is_counted_by_the_database_and_forgotten_in_the_end(state: World) -> None:
    state.store.note_worker(a_note(state))
    state.pass_time(100)
    state.store.note_worker(a_note(state, "w2"))
    assert [True, False] == [one.silent_seconds > 99 for one in state.store.workers()]
    assert 1 == state.store.forget_silent_workers(60)
    assert ["w2"] == [one.id for one in state.store.workers()]


def test_a_worker_that_has_ended_is_not_there(state: World) -> None:
    state.store.note_worker(a_note(state))
    state.store.forget_worker("w1")
    state.store.forget_worker("w1")
    assert [] == state.store.workers()


@pytest.mark.parametrize("ahead", [600.0, -600.0])
def test_a_worker_whose_clock_is_off_is_told_by_how_much(state: World, ahead: float) -> None:
    state.store.note_worker(a_note(state, ahead_seconds=ahead))
    (worker,) = state.store.workers()
    assert ahead == pytest.approx(worker.clock_ahead_seconds, abs=5)
