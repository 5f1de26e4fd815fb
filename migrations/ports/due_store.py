"""What is due, in the authority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from migrations.model.runs import Due


class DueStore(Protocol):
    def claim_due(self, what: Due, pauses: Sequence[float]) -> list[UUID]:
        """Enqueue what is due, once, the longest due first; the ids of the migrations it is about.

        No more than a hundred in one go.

        ``pauses``, in seconds, are two or more: from when it may be done to the first time,
        from that to the second, and so on; the last one repeats.
        """
        ...

    def due_again(self, what: Due, migration_id: UUID, after_seconds: float) -> None:
        """The next time is so soon, because the last one did not get through."""
        ...
