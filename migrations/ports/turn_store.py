"""The switch, and everything that takes a run off its way."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from migrations.model.bots import Bot
from migrations.model.errors import ReembedError
from migrations.model.runs import (
    Migration,
)
from migrations.model.states import Phase, Status


class TurnStore(Protocol):
    def begin_switch(self, migration_id: UUID, epoch: int) -> None:
        """Record the intent; from here on cancelling is refused. Raises Superseded."""
        ...

    def switch(self, migration_id: UUID, epoch: int, retention_hours: float) -> Bot:
        """The pivot: one transaction makes the target live. Repeating it changes nothing.

        Raises:
            Superseded; SourceChanged when the bot is not where the run started.
        """
        ...

    def finish(self, migration_id: UUID, epoch: int) -> None:
        """Switched becomes completed; a reverse run marks what it took back."""
        ...

    def request_cancel(self, migration_id: UUID, by: str) -> Migration:
        """Turn round, or say why not; cancelling twice is answered like once.

        Raises:
            SwitchInProgress, AlreadySwitched, NoActiveMigration.
        """
        ...

    def turn_round(self, migration_id: UUID, epoch: int, error: ReembedError) -> bool:
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
