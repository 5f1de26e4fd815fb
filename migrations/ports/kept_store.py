"""Collections that are kept, in the authority."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from migrations.model.left_behind import End, KeptCollection
from migrations.model.runs import Migration


class KeptStore(Protocol):
    def switched_by(self, bot_id: str, generation: int) -> Migration | None:
        """The migration that brought the bot to this generation."""
        ...

    def keep_target(self, migration_id: UUID, chunks: int, hold_hours: float) -> bool:
        """Hold the target of a run that is undone; False when somebody needs it."""
        ...

    def kept(self, collection: str) -> KeptCollection | None: ...

    def kept_of(self, bot_id: str) -> list[KeptCollection]: ...

    def kept_page(
        self, owner: str | None, bot_id: str | None, after: str | None, limit: int
    ) -> list[KeptCollection]:
        """By name: those that follow ``after``; of this owner or bot, where one is named."""
        ...

    def keep_for(self, collection: str, hours: float | None, by: str) -> KeptCollection:
        """Keep it for so long from now, or for good. An original that stays does so anyway.

        Raises KeptNotFound.
        """
        ...

    def let_drop(self, collection: str, by: str) -> KeptCollection:
        """It was kept for long enough; twice is like once.

        Raises:
            KeptNotFound, CollectionInUse, OriginalStays.
        """
        ...

    def retire(
        self, migration_id: UUID, chunks: int | None, digest: str | None, hold_hours: float
    ) -> bool:
        """End the way back and hold the previous collection instead.

        False, and nothing changed, unless its window has closed, this migration left it
        behind and the bot has no live migration.
        """
        ...

    def measure_kept(self, collection: str, chunks: int, digest: str, hold_hours: float) -> None:
        """What it holds is known from now on; it is held for as long again."""
        ...

    def keep_longer(self, collection: str, hold_hours: float, warning: str) -> None:
        """Hold it for longer and warn of it on the migration that left it behind."""
        ...

    def lock_kept(self, collection: str, end: End = End.DROPPED) -> AbstractContextManager[bool]:
        """Lock the rows that could make it live, for a block that ends its keeping like this.

        True when it was held long enough, is nobody's and may end so. Then the held row goes
        when the block ends without an error; one that is released stays, and is never due again.
        """
        ...
