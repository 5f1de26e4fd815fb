"""A change of a migration as a value: decided here, applied by the store.

What may follow what is decided by plain functions over a snapshot of the row
(``phase_changes``, ``turn_changes``); the store takes the snapshot under the
row's lock and applies the decision with one guarded update.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from migrations.model import messages
from migrations.model.errors import Superseded
from migrations.model.runs import Migration
from migrations.model.states import TRANSITIONS, Phase, Status

PHASES = tuple(Phase)


@dataclass(frozen=True)
class Held:
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


def raised_epoch(held: Held, **values: Any) -> dict[str, Any]:
    """The values that take a migration away from whoever works on it now."""
    return {
        "epoch": held.migration.epoch + 1,
        **NO_RUNNER,
        "waiting_for": None,
        "heartbeat_at": held.now,
        **values,
    }


def phases_to_undo(held: Held) -> list[Phase]:
    """Every phase that was begun and is not undone, newest first."""
    migration = held.migration
    begun = {*migration.completed_phases, migration.phase} - set(held.undone)
    if migration.target_adopted and not migration.target_is_kept:
        # It was taken out of the held ones when the run was recorded; only this undo
        # puts it back.
        begun |= {Phase.NEW_COLLECTION_CREATION} - set(held.undone)
    return [phase for phase in reversed(PHASES) if phase in begun]


def compensation(held: Held) -> dict[str, Any]:
    """The message of the compensating chain, at the epoch after this one."""
    migration = held.migration
    return messages.compensate(migration.id, migration.epoch + 1, phases_to_undo(held))


#: What a caller may hand over when a phase or the migration is done.
FINDINGS = frozenset({"rollback_info", "validation", "verification", "totals", "target_adopted"})


def findings(migration: Migration, warnings: list[str], values: dict[str, Any]) -> dict[str, Any]:
    """``values`` as they are stored: totals added to the earlier ones, warnings kept once each.

    Raises:
        TypeError: a name that is not in FINDINGS, which is a slip of the caller.
    """
    unknown = values.keys() - FINDINGS
    if unknown:
        raise TypeError(f"a migration does not keep {sorted(unknown)}")
    stored: dict[str, Any] = {
        name: value if isinstance(value, BaseModel | bool) else jsonable(value)
        for name, value in values.items()
    }
    if "totals" in stored:
        stored["totals"] = {**migration.totals, **stored["totals"]}
    new = [storable(w) for w in dict.fromkeys(warnings) if storable(w) not in migration.warnings]
    return {**stored, "warnings": (*migration.warnings, *new)}


KEPT_CONFLICTS = "Writes to the old collection"


def conflicts_told(held: Held, count: int) -> Change:
    """The one warning that says how many stragglers were not forwarded."""
    warning = (
        f"{KEPT_CONFLICTS} that came after the switch were not taken over: {count} chunks had "
        "changed in the live collection too, could not be embedded, or stand there again although "
        "they had been deleted. They are kept as conflicts."
    )
    others = [w for w in held.migration.warnings if not w.startswith(KEPT_CONFLICTS)]
    return Change({"warnings": (*others, warning)}, "conflicts_kept", {"conflicts": count})


def drop_refused(held: Held, collection: str, warning: str) -> Change:
    """Somebody still writes to a held collection."""
    others = [w for w in held.migration.warnings if w != warning]
    detail = {"collection": collection, "reason": warning}
    return Change({"warnings": (*others, storable(warning))}, "drop_refused", detail)


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
