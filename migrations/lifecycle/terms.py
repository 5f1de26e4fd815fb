"""Other terms for a run on its way: how long it may take, how fast it may ask; and once more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from migrations.lifecycle.change import Change, LockedRun, storable
from migrations.lifecycle.pausing import PAUSED, refuse
from migrations.model.errors import InvalidConfiguration, MigrationInProgress, NotSteerable
from migrations.model.pace import PACE, Pace
from migrations.model.runs import Migration
from migrations.model.states import COMPENSABLE, LIVE, Kind, Status
from migrations.model.what_now import repair_of, what_now

#: It still asks a provider, or will.
_MAY_ASK = LIVE - {Status.ROLLING_BACK, Status.NEEDS_OPERATOR}


def extend(locked: LockedRun, timeout_seconds: int, by: str) -> Change | None:
    """The whole time that it may take becomes ``timeout_seconds``; None when that is so already.

    Raises:
        NotSteerable, SwitchInProgress, AlreadySwitched.
        InvalidConfiguration: it would be shorter.
    """
    migration, now = locked.migration, locked.migration.config.timeout_seconds
    if migration.status not in COMPENSABLE:
        refuse(migration, "given more time")
    if timeout_seconds == now:
        return None
    if timeout_seconds < now:
        raise InvalidConfiguration(
            f"The migration may take {now} seconds already, and its time is only lengthened; "
            "cancel it to end it sooner."
        )
    more = timeout_seconds - now
    config = migration.config.model_copy(update={"timeout_seconds": timeout_seconds})
    values: dict[str, Any] = {
        "config": config,
        "deadline_at": migration.deadline_at + timedelta(seconds=more),
    }
    if migration.status is Status.PAUSED:
        paused = migration.controls[PAUSED]
        longer = {**paused, "seconds_left": paused["seconds_left"] + more}
        values["controls"] = {**migration.controls, PAUSED: longer}
    detail = {"by": storable(by), "from_seconds": now, "to_seconds": timeout_seconds}
    return Change(values, "extended", detail)


def throttle(locked: LockedRun, pace: Pace | None, by: str) -> Change | None:
    """Its pace becomes this one, None: as the provider's limit allows; None when it is so already.

    Raises:
        NotSteerable.
    """
    migration = locked.migration
    if migration.status not in _MAY_ASK:
        refuse(migration, "given another pace")
    if pace == Pace.of(migration.controls):
        return None
    others = {name: value for name, value in migration.controls.items() if name != PACE}
    if pace is None:
        return Change({"controls": others}, "unthrottled", {"by": storable(by)})
    told = {**vars(pace), "by": storable(by)}
    set_ = {**told, "at": locked.now.isoformat()}
    return Change({"controls": {**others, PACE: set_}}, "throttled", told)


def require_retriable(migration: Migration) -> None:
    """Raises MigrationInProgress, or NotSteerable with what can be done instead."""
    status = migration.status
    if status is Status.NEEDS_OPERATOR:
        raise NotSteerable(what_now(migration.id, status), **repair_of(migration.id, status))
    if status in LIVE:
        raise MigrationInProgress.of(migration.id, status)
    if migration.kind is Kind.REVERSE:
        raise NotSteerable("This was the way back of a migration; roll that one back again.")
    if status is Status.COMPLETED:
        raise NotSteerable("The migration has completed; there is nothing to try again.")
