"""What was paid to providers, in the authority."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from migrations.model.spend import Spent


class Ledger(Protocol):
    def record_spend(
        self, migration_id: UUID, provider: str, model: str, purpose: str, tokens: int
    ) -> None:
        """One answer that a migration pays for."""
        ...

    def tokens_used(self, migration_id: UUID) -> int: ...

    def tokens_by_purpose(self, migration_id: UUID) -> dict[str, int]:
        """The same, by what they were for, in the order of the words."""
        ...

    def record_errand(
        self, owner: str, bot_id: str, provider: str, model: str, purpose: str, tokens: int
    ) -> None:
        """One answer outside of any migration. The bot need not be registered (yet)."""
        ...

    def tokens_of_errands(self, bot_id: str) -> int: ...

    def spent_by_run(self, migration_id: UUID) -> list[Spent]:
        """What one migration has paid, by provider, model and purpose."""
        ...

    def spent(self, owner: str | None = None, bot_id: str | None = None) -> list[Spent]:
        """Migrations and errands of this owner, this bot; everybody's where none is named."""
        ...
