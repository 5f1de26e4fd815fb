"""The seven phases, in order. Each file holds a phase's ``execute`` and its ``undo``.

Both are idempotent. Undoing walks the completed phases backwards and is only
ever asked for before the switch; afterwards the way back is a reverse run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrations.model.outcomes import Outcome
from migrations.model.states import Phase
from migrations.phases import (
    backup_creation,
    cleanup,
    data_migration,
    finalization,
    new_collection_creation,
    validation,
    verification,
)
from migrations.run.run import Run


@dataclass(frozen=True)
class PhaseWork:
    """``execute`` returns what the phase hands over, or None when it goes on elsewhere."""

    phase: Phase
    execute: Callable[[Run], Outcome | None]
    undo: Callable[[Run], None]


PHASES: tuple[PhaseWork, ...] = (
    PhaseWork(Phase.VALIDATION, validation.execute, validation.undo),
    PhaseWork(Phase.BACKUP_CREATION, backup_creation.execute, backup_creation.undo),
    PhaseWork(
        Phase.NEW_COLLECTION_CREATION, new_collection_creation.execute, new_collection_creation.undo
    ),
    PhaseWork(Phase.DATA_MIGRATION, data_migration.execute, data_migration.undo),
    PhaseWork(Phase.VERIFICATION, verification.execute, verification.undo),
    PhaseWork(Phase.FINALIZATION, finalization.execute, finalization.undo),
    PhaseWork(Phase.CLEANUP, cleanup.execute, cleanup.undo),
)

WORK = {work.phase: work for work in PHASES}
