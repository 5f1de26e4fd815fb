"""What somebody sets on a run's way, in the authority."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from migrations.model.pace import Pace
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

    def extend(self, migration_id: UUID, timeout_seconds: int, by: str) -> Migration:
        """Its whole time becomes so long; saying so twice is answered like once.

        Raises:
            NotSteerable, SwitchInProgress, AlreadySwitched, InvalidConfiguration,
            MigrationNotFound.
        """
        ...

    def throttle(self, migration_id: UUID, pace: Pace | None, by: str) -> Migration:
        """Its pace becomes this one; saying so twice is answered like once.

        Raises:
            NotSteerable, MigrationNotFound.
        """
        ...

    def throttled(self) -> list[Migration]:
        """Live runs that have a pace of their own."""
        ...
