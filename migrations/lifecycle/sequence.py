"""What runs after what: the one table from which Celery's canvases are made.

A message in the outbox stands for a canvas: tasks that run together, if any, and a chain that
begins when they have ended. What a chain does not hold, a task of it asks for with a message of
its own: the waves that data migration opens, catching up when the last lane has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrations.model import messages
from migrations.model import task_names as names
from migrations.model.chunks import KeyRange
from migrations.model.config import MigrationConfig, RollbackMode
from migrations.model.runs import Migration, Step
from migrations.model.states import Phase

#: The phases of a run's first chain; the last of them opens waves of batches.
UP_TO_WAVES = (
    Phase.VALIDATION,
    Phase.BACKUP_CREATION,
    Phase.NEW_COLLECTION_CREATION,
    Phase.DATA_MIGRATION,
)
#: The phases that follow the catching up which the last wave asks for.
AFTER_WAVES = (Phase.VERIFICATION, Phase.FINALIZATION, Phase.CLEANUP)
PHASES = UP_TO_WAVES + AFTER_WAVES


def first_phase(config: MigrationConfig) -> Phase:
    """Where a run begins: one that switches back first leaves out what comes before that."""
    return Phase.FINALIZATION if config.rollback_mode is RollbackMode.NOW else PHASES[0]


def successor(phase: Phase) -> Phase:
    """The next phase; the last one is its own successor."""
    return PHASES[min(PHASES.index(phase) + 1, len(PHASES) - 1)]


@dataclass(frozen=True)
class Link:
    """One task. ``arguments`` come beside the migration's id and epoch, which all tasks take."""

    task: str
    #: For its id and for whoever reads it in Flower.
    what: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    within: KeyRange | None = None


@dataclass(frozen=True)
class Canvas:
    then: tuple[Link, ...]
    together: tuple[Link, ...] = ()


def canvas_of(message: Mapping[str, Any]) -> Canvas:
    """What a message stands for; the table of this module."""
    return _CANVASES[message["kind"]](message)


def _phases(*phases: Phase) -> tuple[Link, ...]:
    return tuple(Link(names.phase_task(phase), phase.value) for phase in phases)


def _run(message: Mapping[str, Any]) -> Canvas:
    start = Phase(message["start"])
    chain = UP_TO_WAVES if start in UP_TO_WAVES else AFTER_WAVES
    return Canvas(_phases(*chain[chain.index(start) :]))


def _catch_up(message: Mapping[str, Any]) -> Canvas:
    return Canvas((Link(names.CATCH_UP, "catch up"), *_phases(*AFTER_WAVES)))


def _wave(message: Mapping[str, Any]) -> Canvas:
    number = message["number"]
    batches = (
        Link(
            names.BATCH,
            f"batch {index}",
            {"index": index, "after": after, "upto": upto},
            KeyRange(after, upto),
        )
        for index, after, upto in message["batches"]
    )
    advance = Link(names.ADVANCE, f"advance wave {number}", {"wave": number})
    return Canvas((advance,), together=tuple(batches))


def _compensate(message: Mapping[str, Any]) -> Canvas:
    undos = (Link(names.undo_task(Phase(p)), f"undo {p}") for p in message["phases"])
    return Canvas(
        (
            Link(names.QUIESCE, "quiesce"),
            *undos,
            Link(names.FINISH_ROLLBACK, "finish rollback"),
        )
    )


def _due(task: str, what: str, *more: str) -> Callable[[Mapping[str, Any]], Canvas]:
    def canvas(message: Mapping[str, Any]) -> Canvas:
        arguments = {name: message[name] for name in ("number", *more)}
        return Canvas((Link(task, f"{what} {message['number']}", arguments),))

    return canvas


_CANVASES: Mapping[str, Callable[[Mapping[str, Any]], Canvas]] = {
    "run": _run,
    "catch_up": _catch_up,
    "wave": _wave,
    "compensate": _compensate,
    "sweep": _due(names.SWEEP, "sweep"),
    "retire": _due(names.RETIRE, "retire"),
    "drop_held": _due(names.DROP_KEPT, "drop held", "collection"),
}


def going_on(migration: Migration, epoch: int) -> dict[str, Any]:
    """The message with which a run that is not rolling back goes on from where it stands."""
    phase, done = migration.phase, migration.phase in migration.completed_phases
    if phase is Phase.DATA_MIGRATION and migration.step is Step.CATCHING_UP and not done:
        return messages.catch_up(migration.id, epoch)
    return messages.run(migration.id, epoch, successor(phase) if done else phase)


def kept_step(migration: Migration) -> Step | None:
    """Before catching up the plan may be lost with Redis, so data migration looks afresh."""
    return migration.step if migration.step is Step.CATCHING_UP else None
