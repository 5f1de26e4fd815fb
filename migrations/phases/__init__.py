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

    execute: Callable[[Run], Outcome | None]
    undo: Callable[[Run], None]


WORK = {
    Phase.VALIDATION: PhaseWork(validation.execute, validation.undo),
    Phase.BACKUP_CREATION: PhaseWork(backup_creation.execute, backup_creation.undo),
    Phase.NEW_COLLECTION_CREATION: PhaseWork(
        new_collection_creation.execute, new_collection_creation.undo
    ),
    Phase.DATA_MIGRATION: PhaseWork(data_migration.execute, data_migration.undo),
    Phase.VERIFICATION: PhaseWork(verification.execute, verification.undo),
    Phase.FINALIZATION: PhaseWork(finalization.execute, finalization.undo),
    Phase.CLEANUP: PhaseWork(cleanup.execute, cleanup.undo),
}
