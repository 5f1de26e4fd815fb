"""Runs that wait before their switch, in the authority."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from migrations.model.runs import Migration


class DecisionStore(Protocol):
    def accept(self, migration_id: UUID, by: str, reason: str | None) -> Migration:
        """Go on to the switch; saying so twice is answered like once.

        Raises:
            NotWaiting, NotAccepted, MigrationNotFound.
        """
        ...

    def waiting(self, since_seconds: float) -> list[Migration]:
        """Runs that were to wait and have not been kept up to date for so long."""
        ...

    def keep_up(self, migration_id: UUID, epoch: int) -> bool:
        """Epoch + 1 and the message that catches up; False when it waits no more."""
        ...
