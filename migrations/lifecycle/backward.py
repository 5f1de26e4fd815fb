"""What takes a migration off its way: cancelling, failing, undoing, driving it again."""

from __future__ import annotations

from typing import Any

from migrations.lifecycle.change import (
    Change,
    LockedRun,
    compensation,
    jsonable,
    phases_to_undo,
    raised_epoch,
    require,
    storable,
)
from migrations.lifecycle.sequence import going_on, kept_step
from migrations.model import messages
from migrations.model.errors import (
    AlreadySwitched,
    NoActiveMigration,
    ReembedError,
    SwitchInProgress,
    TimedOut,
    TransitionRefused,
)
from migrations.model.runs import PROCESSED_WHEN_REDRIVEN, Migration
from migrations.model.states import BEFORE_SWITCH, COMPENSABLE, DRIVEN, Phase, Status, sources_of
from migrations.model.what_now import repair_of, what_now

#: From here an error rolls back; needs_operator and failed are left by repair only.
ENDED_BY_ERRORS = sources_of(Status.ROLLING_BACK) & DRIVEN
REPAIRABLE = sources_of(Status.ROLLING_BACK) - DRIVEN - COMPENSABLE
UNDOING = sources_of(Status.ROLLED_BACK) & DRIVEN


def request_cancel(locked: LockedRun, by: str) -> Change | None:
    """None when it is rolling back already.

    Raises:
        SwitchInProgress, AlreadySwitched, NoActiveMigration.
    """
    status = locked.migration.status
    if status in COMPENSABLE:
        error = {
            "code": "cancelled",
            "message": f"Cancelled by {storable(by)}.",
            "by": storable(by),
        }
        return _rolling_back(locked, error, "cancel_requested", {"by": storable(by)})
    if status is Status.ROLLING_BACK:
        return None
    if status is Status.SWITCHING:
        raise SwitchInProgress
    if status in {Status.SWITCHED, Status.COMPLETED}:
        raise AlreadySwitched
    told = what_now(locked.migration.id, status)
    told = told or f"The migration is {status}; there is nothing to cancel."
    raise NoActiveMigration(told, **repair_of(locked.migration.id, status))


def roll_back(locked: LockedRun, epoch: int, error: ReembedError) -> Change | None:
    """None when the migration is no longer at this epoch before the switch."""
    migration = locked.migration
    # The deadline is the switch: a timeout that comes while it completes is too late.
    from_here = BEFORE_SWITCH if isinstance(error, TimedOut) else ENDED_BY_ERRORS
    if migration.epoch != epoch or migration.status not in from_here:
        return None
    if isinstance(error, TimedOut) and locked.now <= migration.deadline_at:
        return None  # it is late by the clock of whoever said so
    told = {
        "code": error.code,
        "message": storable(error.message + _last_waited_for(migration, error)),
        "details": jsonable(error.details),
    }
    if migration.config.enable_rollback:
        return _rolling_back(locked, told, "rollback_begun", {"code": error.code})
    values = raised_epoch(
        locked, status=Status.FAILED, finished_at=locked.now, error=_placed(migration, told)
    )
    return Change(values, "failed", {"code": error.code})


def _last_waited_for(migration: Migration, error: ReembedError) -> str:
    """Time alone is no reason: what was waited for in vain is."""
    if not isinstance(error, TimedOut) or not migration.waiting_for:
        return ""
    return f" It was waiting: {migration.waiting_for}"


def _rolling_back(
    locked: LockedRun, error: dict[str, Any], event: str, detail: dict[str, Any]
) -> Change:
    values = raised_epoch(
        locked, status=Status.ROLLING_BACK, error=_placed(locked.migration, error)
    )
    return Change(values, event, detail, compensation(locked))


def _placed(migration: Migration, error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "phase": migration.phase.value}


def record_undo(locked: LockedRun, epoch: int, phase: Phase, error: str | None) -> Change:
    migration = locked.migration
    require(migration, epoch, UNDOING)
    others = {name: e for name, e in migration.undo_errors.items() if name != phase}
    if error is None:
        undone = (*locked.undone, phase) if phase not in locked.undone else locked.undone
        values: dict[str, Any] = {"undo_errors": others, "undone_phases": undone}
        event, detail = "undone", {}
    else:
        failure = storable(error)
        values = {"undo_errors": {**others, phase.value: failure}}
        event, detail = "undo_failed", {"error": failure}
    return Change(values | {"heartbeat_at": locked.now}, event, detail, phase=phase)


def finish_rollback(locked: LockedRun, epoch: int) -> Change | None:
    """None when this epoch's rollback has ended already."""
    migration = locked.migration
    if migration.epoch == epoch and migration.status in {
        Status.ROLLED_BACK,
        Status.NEEDS_OPERATOR,
    }:
        return None
    require(migration, epoch, UNDOING)
    ended = {"finished_at": locked.now, "waiting_for": None}
    if not migration.undo_errors:
        return Change({"status": Status.ROLLED_BACK, **ended}, "rolled_back")
    values = {"status": Status.NEEDS_OPERATOR, "error": _diagnosed(migration), **ended}
    return Change(values, "operator_needed", {"undo_errors": migration.undo_errors})


def _diagnosed(migration: Migration) -> dict[str, Any]:
    """The error that rolled the migration back, kept beside what its undo met."""
    failures = [f"The undo of {name} failed: {e}" for name, e in migration.undo_errors.items()]
    return {
        **(migration.error or {}),
        "diagnosis": "\n".join(failures),
        **repair_of(migration.id, Status.NEEDS_OPERATOR),
    }


def repair(locked: LockedRun) -> Change:
    """Raises TransitionRefused."""
    migration = locked.migration
    if migration.status not in REPAIRABLE:
        raise TransitionRefused(
            f"The migration is {migration.status}; only one that is "
            f"{' or '.join(sorted(REPAIRABLE))} can be repaired."
        )
    told = migration.error or {}
    error = {name: told[name] for name in told if name not in {"diagnosis", "repair"}}
    values = raised_epoch(
        locked, status=Status.ROLLING_BACK, undo_errors={}, error=error, finished_at=None
    )
    return Change(values, "repaired", {}, compensation(locked))


def redrive(locked: LockedRun, epoch: int) -> Change | None:
    """None when the migration moved meanwhile."""
    migration = locked.migration
    if migration.epoch != epoch or migration.status not in DRIVEN:
        return None
    completed = tuple(p for p in migration.completed_phases if p is not Phase.CLEANUP)
    detail = {
        "phase": migration.phase.value,
        "status": migration.status.value,
        PROCESSED_WHEN_REDRIVEN: migration.totals.get("processed_chunks", 0),
    }
    return Change(
        # Cleanup is run again when only the last word, completed, was not said.
        raised_epoch(locked, step=kept_step(migration), completed_phases=completed),
        "redriven",
        detail,
        _going_on(locked),
    )


def _going_on(locked: LockedRun) -> dict[str, Any]:
    """The message that goes on from here, at the epoch after this one."""
    migration, epoch = locked.migration, locked.migration.epoch + 1
    if migration.status is Status.ROLLING_BACK:
        return messages.compensate(migration.id, epoch, phases_to_undo(locked))
    return going_on(migration, epoch)
