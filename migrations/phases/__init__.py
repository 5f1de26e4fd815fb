"""The seven phases, in order. Each file holds a phase's ``run`` and its ``undo``.

Both are idempotent. Undoing walks the completed phases backwards and is only
ever asked for before the switch; afterwards the way back is a reverse run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    """``run`` returns the values the state store keeps when the phase completes."""

    phase: Phase
    run: Callable[[Run], dict[str, Any]]
    undo: Callable[[Run], None]


PHASES: tuple[PhaseWork, ...] = (
    PhaseWork(Phase.VALIDATION, validation.run, validation.undo),
    PhaseWork(Phase.BACKUP_CREATION, backup_creation.run, backup_creation.undo),
    PhaseWork(
        Phase.NEW_COLLECTION_CREATION, new_collection_creation.run, new_collection_creation.undo
    ),
    PhaseWork(Phase.DATA_MIGRATION, data_migration.run, data_migration.undo),
    PhaseWork(Phase.VERIFICATION, verification.run, verification.undo),
    PhaseWork(Phase.FINALIZATION, finalization.run, finalization.undo),
    PhaseWork(Phase.CLEANUP, cleanup.run, cleanup.undo),
)

WORK = {work.phase: work for work in PHASES}
