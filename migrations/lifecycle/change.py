"""A change of a migration as a value: decided here, applied by the store.

What may follow what is decided by plain functions over a snapshot of the row, in
:mod:`migrations.lifecycle.forward` and :mod:`migrations.lifecycle.backward`; the store takes
the snapshot under the row's lock and applies the decision with one guarded update.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic_core import to_jsonable_python

from migrations.lifecycle.sequence import PHASES
from migrations.model import messages
from migrations.model.errors import Superseded
from migrations.model.outcomes import BackedUp, Moved, Outcome, Validated, Verified
from migrations.model.runs import Migration
from migrations.model.states import TRANSITIONS, Phase, Status


@dataclass(frozen=True)
class LockedRun:
    """A migration's row while nobody else can change it."""

    migration: Migration
    #: Phases whose undo has succeeded.
    undone: tuple[Phase, ...]
    #: The database's clock.
    now: datetime


@dataclass(frozen=True)
class Change:
    """What to write, and what to tell: fields by name, an event, a message for a worker.

    ``values`` are fields of :class:`Migration`, or ``undone_phases``, ``runner``
    and ``runner_until``. Messages of earlier epochs are forgotten when the epoch rises.
    """

    values: dict[str, Any]
    event: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    message: Mapping[str, Any] | None = None
    #: What the event is about, when that is not the phase the migration is in.
    phase: Phase | None = None

    @property
    def supersedes(self) -> bool:
        return "epoch" in self.values


def require(migration: Migration, epoch: int, statuses: AbstractSet[Status]) -> None:
    """Raises Superseded unless the migration is at ``epoch`` in one of ``statuses``."""
    if migration.epoch != epoch:
        raise Superseded(
            f"Epoch {migration.epoch} owns the migration now; this work of epoch {epoch} stops.",
            migration_id=str(migration.id),
        )
    if migration.status not in statuses:
        raise Superseded(
            f"The migration is {migration.status}, which does not allow this work; it stops.",
            migration_id=str(migration.id),
        )


def is_transition(before: Status, after: Status) -> bool:
    """Staying is no transition; anything else must stand in the table."""
    return after is before or after in TRANSITIONS[before]


#: The values that free the lease of whoever runs the phase.
NO_RUNNER: Mapping[str, Any] = {"runner": None, "runner_until": None}


def raised_epoch(locked: LockedRun, **values: Any) -> dict[str, Any]:
    """The values that take a migration away from whoever works on it now."""
    return {
        "epoch": locked.migration.epoch + 1,
        **NO_RUNNER,
        "waiting_for": None,
        "heartbeat_at": locked.now,
        **values,
    }


def phases_to_undo(locked: LockedRun) -> list[Phase]:
    """Every phase that was begun and is not undone, newest first."""
    migration = locked.migration
    begun = {*migration.completed_phases, migration.phase} - set(locked.undone)
    if migration.target_adopted and not migration.target_is_kept:
        # It was taken out of the kept ones when the run was recorded; only this undo
        # puts it back.
        begun |= {Phase.NEW_COLLECTION_CREATION} - set(locked.undone)
    return [phase for phase in reversed(PHASES) if phase in begun]


def compensation(locked: LockedRun) -> dict[str, Any]:
    """The message of the compensating chain, at the epoch after this one."""
    migration = locked.migration
    return messages.compensate(migration.id, migration.epoch + 1, phases_to_undo(locked))


def found(migration: Migration, outcome: Outcome) -> dict[str, Any]:
    """Where what a phase hands over is kept."""
    kept, handover = noted(migration, _totals(outcome), outcome.warnings), migration.handover
    match outcome:
        case Validated(report=report, proof=proof):
            kept["validation"] = jsonable(report.model_dump())
            kept |= {} if proof is None else {"proof": proof}
        case BackedUp(info=info):
            kept["rollback_info"] = info
        case Moved(source=source, may_lack_rows=lacks):
            kept["handover"] = replace(handover, source_digest=source.digest, may_lack_rows=lacks)
        case Verified(report=report, snapshot_in_epoch=epoch):
            kept["verification"] = jsonable(report.model_dump())
            kept["handover"] = replace(handover, snapshot_in_epoch=epoch)
    return kept


def _totals(outcome: Outcome) -> dict[str, int]:
    match outcome:
        case BackedUp(info=info):
            return {"total_chunks": info.chunk_count}
        case Moved(source=source, failed_chunks=failed):
            done = source.chunks - failed
            return {
                "caught_up_chunks": outcome.caught_up,
                "remaining_chunks": outcome.remaining,
                "total_chunks": source.chunks,
                "processed_chunks": done,
                "failed_chunks": failed,
            }
    return {}


def noted(
    migration: Migration, totals: Mapping[str, int] | None = None, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """Totals are added to the earlier ones, warnings kept once each."""
    new = [storable(w) for w in dict.fromkeys(warnings) if storable(w) not in migration.warnings]
    values: dict[str, Any] = {"warnings": (*migration.warnings, *new)}
    return values | ({"totals": {**migration.totals, **totals}} if totals else {})


KEPT_CONFLICTS = "Writes to the old collection"


def conflicts_told(locked: LockedRun, count: int, came_back: Sequence[str] = ()) -> Change:
    """The one warning that says how many late writes were not forwarded, and what came back."""
    warning = (
        f"{KEPT_CONFLICTS} that came after the switch were not taken over: {count} chunks had "
        "changed in the live collection too, could not be embedded, or stand there again although "
        "they had been deleted or replaced. They are kept as conflicts."
    )
    if came_back:
        keys = ", ".join(map(storable, came_back))
        warning += f" These stand there again; delete them if nobody has written them anew: {keys}."
    others = [w for w in locked.migration.warnings if not w.startswith(KEPT_CONFLICTS)]
    return Change({"warnings": (*others, warning)}, "conflicts_kept", {"conflicts": count})


def conflicts_settled(
    locked: LockedRun, settled: int, left: int, came_back: Sequence[str], by: str
) -> Change:
    """Somebody has judged so many of them; the warning is of those that are left."""
    warnings = conflicts_told(locked, left, came_back).values["warnings"]
    if not left:
        warnings = [w for w in warnings if not w.startswith(KEPT_CONFLICTS)]
    detail = {"conflicts": settled, "left": left, "by": storable(by)}
    return Change({"warnings": tuple(warnings)}, "conflicts_settled", detail)


BREACHED = "After the switch:"


def breaches_told(locked: LockedRun, found: Sequence[str]) -> Change:
    """The one warning of what canaries have found, as they found it last."""
    others = [w for w in locked.migration.warnings if not w.startswith(BREACHED)]
    warning = storable(f"{BREACHED} {' '.join(found)}")
    return Change({"warnings": (*others, warning)}, "canaries_breached", {"breaches": list(found)})


def drop_refused(locked: LockedRun, collection: str, warning: str) -> Change:
    """Somebody still writes to a kept collection."""
    others = [w for w in locked.migration.warnings if w != warning]
    detail = {"collection": collection, "reason": warning}
    return Change({"warnings": (*others, storable(warning))}, "drop_refused", detail)


def kept_for(collection: str, by: str, until: datetime | None) -> Change:
    """Somebody wants it kept until then, or for good."""
    told = {"collection": collection, "by": storable(by)}
    return Change({}, "kept_longer", {**told, "until": until.isoformat() if until else None})


def drop_asked(collection: str, by: str) -> Change:
    """Somebody wants it dropped; whether it may be is decided when it is."""
    return Change({}, "drop_asked", {"collection": collection, "by": storable(by)})


def jsonable(value: Any) -> Any:
    """``value`` as jsonb takes it: no NaN, no NUL, nothing that is not JSON."""
    return _strict(to_jsonable_python(value, fallback=_plain))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)  # numpy, or anything


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {storable(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return storable(value) if isinstance(value, str) else value


def storable(text: str) -> str:
    """``text`` without what PostgreSQL cannot hold: NUL and halves of surrogate pairs."""
    return text.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode("utf-8")
