"""What one migration looks like to whoever watches it, as plain values for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.dashboard.wording import PHASES, money
from migrations.lifecycle.history import sentence
from migrations.model.progress import ChunkError, MigrationProgress, PhaseProgress
from migrations.model.runs import POSTPONED, Event, Migration
from migrations.model.spend import Bill
from migrations.model.states import DRIVEN, Kind, Phase, Status

#: Of each category of errors; more are counted.
_EXAMPLES = 3
_ENDED = frozenset({Status.COMPLETED, Status.ROLLED_BACK, Status.FAILED})


@dataclass(frozen=True)
class PhaseView:
    name: str
    about: str
    #: done, now, waiting, begun or to come; in words, too.
    state: str
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def seconds(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class ErrorGroup:
    """Chunks that failed for one reason."""

    code: str
    count: int
    examples: tuple[ChunkError, ...]


@dataclass(frozen=True)
class Telling:
    """One of the migration's own errors, warnings or things it waits for."""

    kind: str
    text: str


@dataclass(frozen=True)
class EventView:
    at: datetime
    sentence: str
    epoch: int


@dataclass(frozen=True)
class MigrationView:
    progress: MigrationProgress
    migration: Migration
    phases: list[PhaseView]
    errors: list[ErrorGroup]
    tellings: list[Telling]
    events: list[EventView]
    bill: Bill
    #: When this was so.
    at: datetime

    @property
    def is_over(self) -> bool:
        """Nothing more happens unless somebody asks."""
        return self.progress.status in _ENDED

    @property
    def seconds_left(self) -> float | None:
        ends = self.progress.estimated_completion
        moves = self.progress.phase is Phase.DATA_MIGRATION and self.progress.status in DRIVEN
        if ends is None or not moves or self.progress.status is Status.ROLLING_BACK:
            return None
        return max(0.0, (ends - self.at).total_seconds())

    @property
    def cost(self) -> str:
        """Of what has a price; and that something has none."""
        if not self.bill.lines:
            return money(0.0)
        if self.bill.unpriced_tokens == self.bill.tokens:
            return "not known: no price is set"
        more = " and more: not every model has a price" if self.bill.unpriced_tokens else ""
        return money(self.bill.cost_usd) + more

    @property
    def heading(self) -> str:
        way = "Way back" if self.migration.kind is Kind.REVERSE else "Migration"
        return f"{way} of {self.progress.bot_id}"


def migration_view(
    progress: MigrationProgress,
    migration: Migration,
    events: Sequence[Event],
    bill: Bill,
    at: datetime,
) -> MigrationView:
    return MigrationView(
        progress=progress,
        migration=migration,
        phases=[_phase(progress, one) for one in progress.phases],
        errors=error_groups(progress.failed),
        tellings=_tellings(progress, migration),
        events=[EventView(one.at, sentence(one), one.epoch) for one in reversed(events)],
        bill=bill,
        at=at,
    )


def _phase(progress: MigrationProgress, phase: PhaseProgress) -> PhaseView:
    name, about = PHASES[phase.phase]
    return PhaseView(name, about, _state(progress, phase), phase.started_at, phase.finished_at)


def _state(progress: MigrationProgress, phase: PhaseProgress) -> str:
    is_here = phase.phase is progress.phase
    forward = progress.status not in {*_ENDED, Status.ROLLING_BACK, Status.NEEDS_OPERATOR}
    if is_here and forward and phase.started_at is not None:
        return "now" if progress.status in DRIVEN else "waiting"
    if phase.finished_at is not None:
        return "done"
    if phase.started_at is not None:
        return "not finished"
    return "to come" if forward else "not begun"


def error_groups(failed: Sequence[ChunkError]) -> list[ErrorGroup]:
    """By their codes, the most frequent first."""
    by_code: dict[str, list[ChunkError]] = {}
    for one in failed:
        by_code.setdefault(one.code, []).append(one)
    groups = [
        ErrorGroup(code, len(found), tuple(found[:_EXAMPLES])) for code, found in by_code.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.code))


def _tellings(progress: MigrationProgress, migration: Migration) -> list[Telling]:
    told = []
    if progress.error:
        told.append(Telling("error", str(progress.error.get("message", "See the log."))))
    for phase, error in migration.undo_errors.items():
        told.append(Telling("error", f"Undoing {phase} has failed: {_message(error)}"))
    if progress.waiting_for:
        told.append(Telling("waits for", progress.waiting_for))
    told += [Telling("warning", warning) for warning in progress.warnings]
    return told


def _message(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def gates_failed(migration: Migration) -> list[str]:
    """What somebody who accepts has to give a reason for."""
    return [one for one in migration.decision.get("waits_for", []) if one != POSTPONED]
