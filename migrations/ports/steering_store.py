"""What somebody sets on a run's way, in the authority."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from migrations.model.runs import Migration


class SteeringStore(Protocol):
    def pause(self, migration_id: UUID, by: str, reason: str | None) -> Migration:
        """Epoch + 1, and nobody's work; pausing twice is answered like once.

        Raises:
            NotSteerable, SwitchInProgress, AlreadySwitched, MigrationNotFound.
        """
        ...

    def resume(self, migration_id: UUID, by: str) -> Migration:
        """Epoch + 1 and the message that goes on from here; twice is answered like once.

        Raises:
            NotSteerable, MigrationNotFound.
        """
        ...
