"""What takes a migration off its way: cancelling, failing, undoing, driving it again."""

from __future__ import annotations

from typing import Any

from migrations.lifecycle.change import (
    Change,
    Held,
    compensation,
    jsonable,
    phases_to_undo,
    raised_epoch,
    require,
    storable,
)
from migrations.lifecycle.sequence import going_on
from migrations.model import messages
from migrations.model.errors import (
    AlreadySwitched,
    NoActiveMigration,
    ReembedError,
    SwitchInProgress,
    TimedOut,
    TransitionRefused,
)
from migrations.model.runs import Migration, Step
from migrations.model.states import COMPENSABLE, DRIVEN, Phase, Status, sources_of

#: From here an error turns round; needs_operator and failed are left by repair only.
TURNABLE = sources_of(Status.ROLLING_BACK) & DRIVEN
REPAIRABLE = sources_of(Status.ROLLING_BACK) - DRIVEN
UNDOING = sources_of(Status.ROLLED_BACK) & DRIVEN


def request_cancel(held: Held, by: str) -> Change | None:
    """None when it is rolling back already.

    Raises:
        SwitchInProgress, AlreadySwitched, NoActiveMigration.
    """
    status = held.migration.status
    if status in COMPENSABLE:
        error = {
            "code": "cancelled",
            "message": f"Cancelled by {storable(by)}.",
            "by": storable(by),
        }
        return _rolling_back(held, error, "cancel_requested", {"by": storable(by)})
    if status is Status.ROLLING_BACK:
        return None
    if status is Status.SWITCHING:
        raise SwitchInProgress
    if status in {Status.SWITCHED, Status.COMPLETED}:
        raise AlreadySwitched
    raise NoActiveMigration(f"The migration is {status}; there is nothing to cancel.")


def turn_round(held: Held, epoch: int, error: ReembedError) -> Change | None:
    """None when the migration is no longer at this epoch before the switch."""
    migration = held.migration
    # The deadline is the switch: a timeout that comes while it completes is too late.
    turnable = COMPENSABLE if isinstance(error, TimedOut) else TURNABLE
    if migration.epoch != epoch or migration.status not in turnable:
        return None
    told = {
        "code": error.code,
        "message": storable(error.message),
        "details": jsonable(error.details),
    }
    if migration.config.enable_rollback:
        return _rolling_back(held, told, "turned_round", {"code": error.code})
    values = raised_epoch(
        held, status=Status.FAILED, finished_at=held.now, error=_placed(migration, told)
    )
    return Change(values, "failed", {"code": error.code})


def _rolling_back(held: Held, error: dict[str, Any], event: str, detail: dict[str, Any]) -> Change:
    values = raised_epoch(held, status=Status.ROLLING_BACK, error=_placed(held.migration, error))
    return Change(values, event, detail, compensation(held))


def _placed(migration: Migration, error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "phase": migration.phase.value}


def record_undo(held: Held, epoch: int, phase: Phase, error: str | None) -> Change:
    migration = held.migration
    require(migration, epoch, UNDOING)
    others = {name: e for name, e in migration.undo_errors.items() if name != phase}
    if error is None:
        undone = (*held.undone, phase) if phase not in held.undone else held.undone
        values: dict[str, Any] = {"undo_errors": others, "undone_phases": undone}
        event, detail = "undone", {}
    else:
        failure = storable(error)
        values = {"undo_errors": {**others, phase.value: failure}}
        event, detail = "undo_failed", {"error": failure}
    return Change(values | {"heartbeat_at": held.now}, event, detail, phase=phase)


def finish_rollback(held: Held, epoch: int) -> Change | None:
    """None when this epoch's rollback has ended already."""
    migration = held.migration
    if migration.epoch == epoch and migration.status in {
        Status.ROLLED_BACK,
        Status.NEEDS_OPERATOR,
    }:
        return None
    require(migration, epoch, UNDOING)
    ended = {"finished_at": held.now, "waiting_for": None}
    if not migration.undo_errors:
        return Change({"status": Status.ROLLED_BACK, **ended}, "rolled_back")
    values = {"status": Status.NEEDS_OPERATOR, "error": _diagnosed(migration), **ended}
    return Change(values, "operator_needed", {"undo_errors": migration.undo_errors})


def _diagnosed(migration: Migration) -> dict[str, Any]:
    """The error that turned the migration round, kept beside what its undo met."""
    failures = [f"The undo of {name} failed: {e}" for name, e in migration.undo_errors.items()]
    return {
        **(migration.error or {}),
        "diagnosis": "\n".join(failures),
        "repair": f"celery -A worker reembed repair {migration.id}",
    }


def repair(held: Held) -> Change:
    """Raises TransitionRefused."""
    migration = held.migration
    if migration.status not in REPAIRABLE:
        raise TransitionRefused(
            f"The migration is {migration.status}; only one that is "
            f"{' or '.join(sorted(REPAIRABLE))} can be repaired."
        )
    told = migration.error or {}
    error = {name: told[name] for name in told if name not in {"diagnosis", "repair"}}
    values = raised_epoch(
        held, status=Status.ROLLING_BACK, undo_errors={}, error=error, finished_at=None
    )
    return Change(values, "repaired", {}, compensation(held))


def redrive(held: Held, epoch: int) -> Change | None:
    """None when the migration moved meanwhile."""
    migration = held.migration
    if migration.epoch != epoch or migration.status not in DRIVEN:
        return None
    completed = tuple(p for p in migration.completed_phases if p is not Phase.CLEANUP)
    detail = {"phase": migration.phase.value, "status": migration.status.value}
    return Change(
        # Cleanup is run again when only the last word, completed, was not said.
        raised_epoch(held, step=_kept_step(migration), completed_phases=completed),
        "redriven",
        detail,
        _going_on(held),
    )


def _kept_step(migration: Migration) -> Step | None:
    """Before catching up the plan may be lost with Redis, so data migration looks afresh."""
    return migration.step if migration.step is Step.CATCHING_UP else None


def _going_on(held: Held) -> dict[str, Any]:
    """The message that goes on from here, at the epoch after this one."""
    migration, epoch = held.migration, held.migration.epoch + 1
    if migration.status is Status.ROLLING_BACK:
        return messages.compensate(migration.id, epoch, phases_to_undo(held))
    return going_on(migration, epoch)
