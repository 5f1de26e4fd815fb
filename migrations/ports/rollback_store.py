"""Everything that takes a run off its way, in the authority."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from migrations.model.errors import ReembedError
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status


class RollbackStore(Protocol):
    def request_cancel(self, migration_id: UUID, by: str) -> Migration:
        """Roll back, or say why not; cancelling twice is answered like once.

        Raises:
            SwitchInProgress, AlreadySwitched, NoActiveMigration.
        """
        ...

    def roll_back(self, migration_id: UUID, epoch: int, error: ReembedError) -> bool:
        """Before the switch: epoch + 1, rolling back (or failed), compensation enqueued.

        False when the migration is no longer at this epoch before the switch.
        """
        ...

    def record_undo(self, migration_id: UUID, epoch: int, phase: Phase, error: str | None) -> None:
        """One undo ended, well or not. Raises Superseded."""
        ...

    def finish_rollback(self, migration_id: UUID, epoch: int) -> Status:
        """Rolled back, or needs_operator when an undo failed. Raises Superseded."""
        ...

    def repair(self, migration_id: UUID) -> Migration:
        """Needs_operator or failed becomes rolling back again. Raises TransitionRefused."""
        ...

    def redrive(self, migration_id: UUID, epoch: int) -> bool:
        """Epoch + 1 and the message that goes on from here; False when it moved meanwhile."""
        ...
