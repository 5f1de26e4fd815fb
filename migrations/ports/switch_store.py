"""The switch and the end of a run, in the authority."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from migrations.model.bots import Bot


class SwitchStore(Protocol):
    def begin_switch(self, migration_id: UUID, epoch: int) -> None:
        """Record the intent; from here on cancelling is refused. Raises Superseded."""
        ...

    def switch(self, migration_id: UUID, epoch: int, retention_hours: float) -> Bot:
        """The pivot: one transaction makes the target live. Repeating it changes nothing.

        A run that switches back first takes over the snapshot of the run that it takes back,
        of which nobody sweeps any more.

        Raises:
            Superseded; SourceChanged when the bot is not where the run started;
            RollbackUnavailable when there is no whole snapshot to be taken over.
        """
        ...

    def finish(self, migration_id: UUID, epoch: int) -> None:
        """Switched becomes completed; a reverse run marks what it took back."""
        ...
