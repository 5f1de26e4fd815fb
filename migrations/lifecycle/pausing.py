"""Pausing a run before its switch, and resuming it.

A paused run is nobody's work, and nothing of it is undone. Pausing raises the epoch, so that
work stops at its next look, before it pays for anything more; what it has paid for it still
stores, because whoever goes on would pay for it again. The deadline stands still: the seconds
that were left are kept, and counted from when the run is resumed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Never

from migrations.lifecycle.change import NO_RUNNER, Change, LockedRun, raised_epoch, storable
from migrations.lifecycle.sequence import going_on, kept_step
from migrations.model.errors import AlreadySwitched, NotSteerable, SwitchInProgress
from migrations.model.runs import Migration
from migrations.model.states import BEFORE_SWITCH, Status

#: In ``controls``: who has paused the run, when, why, and how many seconds it had left.
PAUSED = "paused"
#: Who has resumed it last, and when.
RESUMED = "resumed"
#: The epoch that the last pause has ended.
_STOPPED = "stopped_epoch"
_HAS_SWITCHED = frozenset({Status.SWITCHED, Status.COMPLETED})


def pause(locked: LockedRun, by: str, reason: str | None) -> Change | None:
    """None when it is paused already.

    Raises:
        NotSteerable, SwitchInProgress, AlreadySwitched.
    """
    migration = locked.migration
    if migration.status is Status.PAUSED:
        return None
    if migration.status not in BEFORE_SWITCH:
        refuse(migration, "paused")
    left = max(0.0, (migration.deadline_at - locked.now).total_seconds())
    told: dict[str, Any] = {
        "by": storable(by),
        "reason": storable(reason) if reason is not None else None,
        "seconds_left": round(left, 3),
    }
    paused = {**told, "at": locked.now.isoformat()}
    controls = {**migration.controls, PAUSED: paused, _STOPPED: migration.epoch}
    values = _handed_over(
        locked, status=Status.PAUSED, controls=controls, waiting_for=_sentence(paused)
    )
    return Change(values, "paused", told)


def _sentence(paused: dict[str, Any]) -> str:
    because = f" ({paused['reason']})" if paused["reason"] else ""
    return f"Somebody who resumes it: {paused['by']} has paused it{because}."


def resume(locked: LockedRun, by: str) -> Change | None:
    """None when it is at work, or has been resumed before.

    Raises:
        NotSteerable.
    """
    migration = locked.migration
    if migration.status is not Status.PAUSED:
        if migration.status in BEFORE_SWITCH or _has_gone_on(migration):
            return None
        raise NotSteerable(f"The migration is {migration.status} and not paused.")
    paused = migration.controls[PAUSED]
    kept = {name: value for name, value in migration.controls.items() if name != PAUSED}
    told = {"by": storable(by)}
    values = _handed_over(
        locked,
        status=Status.RUNNING,
        step=kept_step(migration),
        started_at=migration.started_at or locked.now,
        deadline_at=locked.now + timedelta(seconds=paused["seconds_left"]),
        controls={**kept, RESUMED: {**told, "at": locked.now.isoformat()}},
    )
    lasted = locked.now - datetime.fromisoformat(paused["at"])
    detail = {**told, "paused_seconds": round(lasted.total_seconds(), 3)}
    return Change(values, "resumed", detail, going_on(migration, migration.epoch + 1))


def _has_gone_on(migration: Migration) -> bool:
    after = _HAS_SWITCHED | {Status.WAITING, Status.SWITCHING}
    return RESUMED in migration.controls and migration.status in after


def _handed_over(locked: LockedRun, **values: Any) -> dict[str, Any]:
    """At the next epoch. Whoever runs the phase keeps its lease until it has put it down, so that
    whoever goes on does not begin while that one still stores what it has paid for."""
    raised = raised_epoch(locked, **values)
    return {name: value for name, value in raised.items() if name not in NO_RUNNER}


def refuse(migration: Migration, done_to_it: str) -> Never:
    """Raises what says why this cannot be done to it: NotSteerable, SwitchInProgress or
    AlreadySwitched."""
    status = migration.status
    if status is Status.SWITCHING:
        raise SwitchInProgress
    if status in _HAS_SWITCHED:
        raise AlreadySwitched
    if status is Status.WAITING:
        raise NotSteerable(
            f"The migration cannot be {done_to_it}: it waits before its switch, and nothing is at "
            "work. Let it switch, or roll it back."
        )
    raise NotSteerable(f"The migration is {status}, so it cannot be {done_to_it}.")


def was_paused_at(migration: Migration, epoch: int) -> bool:
    """Whether a pause has ended this epoch and nobody can have worked on since.

    Also right after the run was resumed: whoever goes on waits for those of the epoch before.
    """
    was_stopped = migration.controls.get(_STOPPED) == epoch
    stands = migration.status in {Status.PAUSED, Status.RUNNING}
    return was_stopped and stands and migration.epoch <= epoch + 2


def has_just_resumed(migration: Migration) -> bool:
    """Whether work of the epoch that a pause has ended may still be storing what it paid for."""
    stopped = migration.controls.get(_STOPPED)
    return stopped is not None and migration.epoch == stopped + 2
