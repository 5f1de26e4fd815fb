"""The switch, the ways off it, the way back, and driving a run again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from migrations.model import messages
from migrations.model.errors import (
    MigrationInProgress,
    PermanentError,
    TimedOut,
    TransitionRefused,
    VerificationFailed,
)
from migrations.model.runs import Migration, RunnerLease, Step
from migrations.model.states import Phase, Status
from tests.contract.state_store_world import NEW, OLD, RETENTION_HOURS, World, a_config

BEFORE_SWITCH = [Status.PENDING, Status.RUNNING, Status.SWITCHING]


def test_the_switch_makes_the_target_live_and_keeps_the_source_for_the_window(
    state: World,
) -> None:
    migration = state.reach(Status.SWITCHING)
    before = state.store.bot(migration.bot_id)
    bot = state.store.switch(migration.id, migration.epoch, RETENTION_HOURS)
    assert bot == state.store.bot(migration.bot_id)
    assert (migration.target_collection, NEW, before.live.generation + 1) == (
        bot.live.collection,
        bot.live.embedding,
        bot.live.generation,
    )
    assert bot.previous is not None
    assert (before.live.collection, OLD) == (bot.previous.collection, bot.previous.embedding)
    switched = state.now(migration)
    assert (Status.SWITCHED, 2) == (switched.status, switched.new_generation)
    assert switched.switched_at is not None
    assert timedelta(hours=RETENTION_HOURS) == bot.previous.expires_at - switched.switched_at


def test_a_completed_reverse_run_leaves_the_bot_as_before_and_its_forward_run_rolled_back(
    state: World,
) -> None:
    forward = state.reach(Status.COMPLETED)
    back = state.complete(state.start_back(forward))
    bot = state.store.bot(forward.bot_id)
    assert (forward.source_collection, OLD, 3) == (
        bot.live.collection,
        bot.live.embedding,
        bot.live.generation,
    )
    assert bot.previous is not None
    assert (forward.target_collection, NEW) == (bot.previous.collection, bot.previous.embedding)
    assert (Status.ROLLED_BACK, Status.COMPLETED) == (state.now(forward).status, back.status)
    assert {"by": str(back.id)} == state.store.events(forward.id)[-1].detail


def test_a_reverse_run_can_itself_be_taken_back(state: World) -> None:
    forward = state.reach(Status.COMPLETED)
    back = state.complete(state.start_back(forward))
    again = state.complete(state.start_back(back))
    bot = state.store.bot(forward.bot_id)
    assert (forward.target_collection, NEW, 4) == (
        bot.live.collection,
        bot.live.embedding,
        bot.live.generation,
    )
    assert Status.ROLLED_BACK is state.now(back).status
    assert Status.COMPLETED is again.status


def test_a_cancelled_reverse_run_leaves_its_forward_run_completed(state: World) -> None:
    forward = state.reach(Status.COMPLETED)
    back = state.start_back(forward)
    state.store.request_cancel(back.id, "somebody")
    state.store.finish_rollback(back.id, 2)
    assert Status.COMPLETED is state.now(forward).status


def test_a_cancel_undoes_what_was_begun_newest_first_and_once(state: World) -> None:
    migration = state.drive(state.start(), Phase.DATA_MIGRATION)
    turned = state.store.request_cancel(migration.id, "somebody")
    assert turned == state.store.request_cancel(migration.id, "somebody else")
    undo = [
        Phase.DATA_MIGRATION,
        Phase.NEW_COLLECTION_CREATION,
        Phase.BACKUP_CREATION,
        Phase.VALIDATION,
    ]
    assert [messages.compensate(migration.id, 2, undo)] == state.messages(migration)
    assert 1 == state.told(migration).count("cancel_requested")
    assert turned.error is not None
    assert ("cancelled", "somebody", "data_migration") == (
        turned.error["code"],
        turned.error["by"],
        turned.error["phase"],
    )


@pytest.mark.parametrize("status", BEFORE_SWITCH)
def test_an_error_before_the_switch_is_kept_and_compensated(state: World, status: Status) -> None:
    migration = state.reach(status)
    error = VerificationFailed("3 keys are missing.", missing=3, where={"a", "b"} - {"b"})
    assert state.store.roll_back(migration.id, migration.epoch, error)
    turned = state.now(migration)
    assert {
        "code": "verification-failed",
        "message": "3 keys are missing.",
        "details": {"missing": 3, "where": ["a"]},
        "phase": migration.phase.value,
    } == turned.error
    (message,) = state.messages(migration)
    assert ("compensate", 2) == (message["kind"], message["epoch"])


def test_an_error_of_a_run_without_rollback_ends_it_and_undoes_nothing(state: World) -> None:
    migration = state.reach(Status.FAILED)
    assert [] == state.messages(migration)
    assert migration.finished_at is not None
    assert "failed" == state.told(migration)[-1]


def test_a_timeout_before_the_deadline_is_not_believed_whoever_says_so(state: World) -> None:
    migration = state.start(config=a_config(timeout_seconds=60))
    assert not state.store.roll_back(migration.id, migration.epoch, TimedOut())
    state.pass_time(61)
    assert state.store.roll_back(migration.id, migration.epoch, TimedOut())


def test_a_timeout_does_not_stop_a_switch_that_has_begun(state: World) -> None:
    migration = state.reach(Status.SWITCHING, timeout_seconds=60)
    state.pass_time(61)
    migration = state.now(migration)
    assert not state.store.roll_back(migration.id, migration.epoch, TimedOut())
    assert migration == state.now(migration)


def test_turning_round_takes_the_runner_and_what_was_waited_for(state: World) -> None:
    migration = state.drive(state.start(), Phase.VALIDATION)
    state.store.take_lease(RunnerLease(migration.id, 1), "me", 600)
    state.store.wait_for(migration.id, 1, "a provider")
    state.store.roll_back(migration.id, 1, PermanentError())
    assert state.now(migration).waiting_for is None
    assert state.store.take_lease(RunnerLease(migration.id, 2), "you", 10)


def compensating(state: World) -> Migration:
    return state.store.request_cancel(state.drive(state.start(), Phase.BACKUP_CREATION).id, "me")


def test_an_undo_that_succeeds_at_a_second_try_leaves_nothing_to_repair(state: World) -> None:
    migration = compensating(state)
    state.store.record_undo(migration.id, 2, Phase.BACKUP_CREATION, "it is stuck")
    assert {"backup_creation": "it is stuck"} == state.now(migration).undo_errors
    state.store.record_undo(migration.id, 2, Phase.BACKUP_CREATION, None)
    assert {} == state.now(migration).undo_errors
    assert Status.ROLLED_BACK is state.store.finish_rollback(migration.id, 2)
    assert state.now(migration).finished_at is not None
    undone = [(e.name, e.phase) for e in state.store.events(migration.id)][-3:-1]
    assert [("undo_failed", Phase.BACKUP_CREATION), ("undone", Phase.BACKUP_CREATION)] == undone


def test_a_failed_undo_calls_for_a_person_with_both_errors_and_the_command(state: World) -> None:
    migration = compensating(state)
    state.store.record_undo(migration.id, 2, Phase.BACKUP_CREATION, "it is stuck")
    assert Status.NEEDS_OPERATOR is state.store.finish_rollback(migration.id, 2)
    error = state.now(migration).error
    assert error is not None
    assert "cancelled" == error["code"]
    assert "The undo of backup_creation failed: it is stuck" == error["diagnosis"]
    assert f"celery -A worker reembed repair {migration.id}" == error["repair"]


def test_a_repair_undoes_what_is_not_undone_yet(state: World) -> None:
    migration = compensating(state)
    state.store.record_undo(migration.id, 2, Phase.BACKUP_CREATION, "it is stuck")
    state.store.record_undo(migration.id, 2, Phase.VALIDATION, None)
    state.store.finish_rollback(migration.id, 2)
    repaired = state.store.repair(migration.id)
    assert (Status.ROLLING_BACK, 3, {}, None) == (
        repaired.status,
        repaired.epoch,
        repaired.undo_errors,
        repaired.finished_at,
    )
    assert repaired.error is not None
    assert {"code", "message", "by", "phase"} == repaired.error.keys()
    assert [messages.compensate(migration.id, 3, [Phase.BACKUP_CREATION])] == state.messages(
        migration
    )


def test_a_failed_run_is_not_repaired_beside_a_live_one(state: World) -> None:
    failed = state.reach(Status.FAILED)
    state.start(state.store.bot(failed.bot_id))
    with pytest.raises(MigrationInProgress):
        state.store.repair(failed.id)
    assert failed == state.now(failed)


def test_what_is_not_broken_is_not_repaired(state: World) -> None:
    with pytest.raises(TransitionRefused, match="needs_operator"):
        state.store.repair(state.reach(Status.RUNNING).id)


def run_from(phase: Phase) -> dict[str, Any]:
    return {"kind": "run", "start": phase.value}


def in_step(state: World, step: Step) -> Migration:
    migration = state.drive(state.start(), Phase.DATA_MIGRATION)
    state.store.take_step(migration.id, 1, step)
    return migration


def between_phases(state: World) -> Migration:
    migration = in_step(state, Step.CATCHING_UP)
    state.store.complete_phase(migration.id, 1, Phase.DATA_MIGRATION)
    return migration


def half_undone(state: World) -> Migration:
    migration = compensating(state)
    state.store.record_undo(migration.id, 2, Phase.BACKUP_CREATION, None)
    return migration


def all_but_finished(state: World) -> Migration:
    migration = state.reach(Status.SWITCHED)
    for phase in (Phase.FINALIZATION, Phase.CLEANUP):
        state.store.begin_phase(migration.id, 1, phase)
        state.store.complete_phase(migration.id, 1, phase)
    return migration


GOING_ON: dict[str, tuple[Any, dict[str, Any]]] = {
    "never begun": (World.start, run_from(Phase.VALIDATION)),
    "within a phase": (lambda s: s.reach(Status.RUNNING), run_from(Phase.FINALIZATION)),
    "between two phases": (between_phases, run_from(Phase.VERIFICATION)),
    "planning": (lambda s: in_step(s, Step.PLANNING), run_from(Phase.DATA_MIGRATION)),
    "backfilling": (lambda s: in_step(s, Step.BACKFILLING), run_from(Phase.DATA_MIGRATION)),
    "catching up": (lambda s: in_step(s, Step.CATCHING_UP), {"kind": "catch_up"}),
    "switching": (lambda s: s.reach(Status.SWITCHING), run_from(Phase.FINALIZATION)),
    "switched": (lambda s: s.reach(Status.SWITCHED), run_from(Phase.FINALIZATION)),
    "not yet finished": (all_but_finished, run_from(Phase.CLEANUP)),
    "half undone": (half_undone, {"kind": "compensate", "phases": ["validation"]}),
}


@pytest.mark.parametrize("where", GOING_ON)
def test_a_redriven_migration_goes_on_from_where_it_stood(state: World, where: str) -> None:
    begin, message = GOING_ON[where]
    migration = state.now(begin(state))
    assert state.store.redrive(migration.id, migration.epoch)
    epoch = migration.epoch + 1
    woken = {**message, "migration_id": str(migration.id), "epoch": epoch}
    assert [woken] == state.messages(migration)
    redriven = state.now(migration)
    assert (migration.status, epoch) == (redriven.status, redriven.epoch)
    assert "redriven" == state.told(migration)[-1]
    if message["kind"] == "run":
        begun = state.store.begin_phase(migration.id, epoch, Phase(message["start"]))
        assert message["start"] == begun.phase


def test_a_redrive_forgets_the_step_unless_it_is_catching_up(state: World) -> None:
    migration = in_step(state, Step.BACKFILLING)
    state.store.redrive(migration.id, 1)
    assert state.store.take_step(migration.id, 2, Step.PLANNING)
    state.store.take_step(migration.id, 2, Step.CATCHING_UP)
    state.store.redrive(migration.id, 2)
    begun = state.store.begin_phase(migration.id, 3, Phase.DATA_MIGRATION)
    assert Step.CATCHING_UP is begun.step


def test_a_migration_is_redriven_once_per_epoch(state: World) -> None:
    migration = state.start()
    assert state.store.redrive(migration.id, 1)
    assert not state.store.redrive(migration.id, 1)
    assert 2 == state.now(migration).epoch
