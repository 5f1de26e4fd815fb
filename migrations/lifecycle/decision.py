"""Waiting before the switch, until somebody has looked: held back by a gate, or as asked.

A waiting run is nobody's work. It is gone on with from catching up, so that whatever goes live
was compared and verified after the decision, by this epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from migrations.lifecycle.change import NO_RUNNER, Change, LockedRun, raised_epoch, storable
from migrations.model import messages
from migrations.model.errors import NotAccepted, NotWaiting
from migrations.model.outcomes import Moved, Outcome, Verified
from migrations.model.runs import POSTPONED, VETO_OF, Migration, Step
from migrations.model.states import Phase, Status

#: Done again when a run goes on.
_AGAIN = frozenset({Phase.DATA_MIGRATION, Phase.VERIFICATION})
_GONE_ON = frozenset({Status.RUNNING, Status.SWITCHING, Status.SWITCHED, Status.COMPLETED})


def undecided(migration: Migration, outcome: Outcome) -> Sequence[str]:
    """What a person has to judge, now that a phase is done, and has not accepted yet."""
    match outcome:
        case Verified(report=report):
            failed = [str(check.details.get("gate", check.name)) for check in report.gates]
            waits_for = [*failed, *([POSTPONED] if migration.config.postpone else [])]
        case Moved():  # a round of a run that waits already, to keep its target up to date
            waits_for = list(migration.decision.get("waits_for", []))
        case _:
            return []
    accepted = migration.decision.get("accepted") or {"of": []}
    return [one for one in dict.fromkeys(waits_for) if one not in accepted["of"]]


def waiting(locked: LockedRun, waits_for: Sequence[str], outcome: Outcome) -> dict[str, Any]:
    """The values with which a run begins to wait."""
    decision, now = locked.migration.decision, locked.now.isoformat()
    return {
        **NO_RUNNER,
        "status": Status.WAITING,
        "decision": {"since": now, **decision, "waits_for": list(waits_for), "kept_up_at": now},
        "waiting_for": storable(" ".join(_sentences(waits_for, outcome))),
    }


def _sentences(waits_for: Sequence[str], outcome: Outcome) -> Iterator[str]:
    vetoes = [one for one in waits_for if one.startswith(VETO_OF)]
    gates = [one for one in waits_for if one not in {POSTPONED, *vetoes}]
    if gates:
        yield (
            f"Somebody who judges what was found less of than wanted ({', '.join(gates)}): look at "
            "the report, then accept and switch, or roll back."
        )
    if vetoes:
        checks = outcome.report.gates if isinstance(outcome, Verified) else []
        yield from (check.message for check in checks if check.details.get("gate") in vetoes)
        yield "Accept with a reason to switch all the same, or roll back."
    if not gates and not vetoes:
        yield "Somebody who says when to switch, as it was asked at the start."


def accept(locked: LockedRun, by: str, reason: str | None) -> Change | None:
    """Go on to the switch; None when that was said before.

    Raises:
        NotWaiting: it never waited, or was taken back.
        NotAccepted: a gate has failed and no reason is given.
    """
    migration, decision = locked.migration, locked.migration.decision
    if decision.get("accepted") and migration.status in _GONE_ON:
        return None
    if migration.status not in {Status.WAITING, Status.RUNNING} or not decision.get("since"):
        raise NotWaiting(f"The migration is {migration.status} and waits for no decision.")
    waits_for = list(decision["waits_for"])
    if reason is None and any(one != POSTPONED for one in waits_for):
        raise NotAccepted(waits_for=waits_for)
    earlier = (decision.get("accepted") or {"of": []})["of"]
    accepted = {
        "by": storable(by),
        "reason": storable(reason) if reason is not None else None,
        "at": locked.now.isoformat(),
        "of": [*earlier, *waits_for],
    }
    values: dict[str, Any] = {"decision": {**decision, "accepted": accepted}}
    if migration.status is Status.RUNNING:  # a round that keeps it up to date goes on
        return Change(values, "accepted", accepted)
    return Change(values | _going_on(locked), "accepted", accepted, _message(migration))


def keep_up(locked: LockedRun, epoch: int) -> Change | None:
    """Catch up with what was written while it waits; None when it does not wait any more."""
    migration = locked.migration
    if migration.epoch != epoch or migration.status is not Status.WAITING:
        return None
    return Change(_going_on(locked), None, message=_message(migration))


def _going_on(locked: LockedRun) -> dict[str, Any]:
    """From catching up; with all its time, because waiting was not its own."""
    migration = locked.migration
    return raised_epoch(
        locked,
        status=Status.RUNNING,
        phase=Phase.DATA_MIGRATION,
        step=Step.CATCHING_UP,
        completed_phases=tuple(p for p in migration.completed_phases if p not in _AGAIN),
        deadline_at=locked.now + timedelta(seconds=migration.config.timeout_seconds),
    )


def _message(migration: Migration) -> dict[str, Any]:
    return messages.catch_up(migration.id, migration.epoch + 1)
