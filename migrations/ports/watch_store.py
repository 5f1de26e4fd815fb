"""What the watchdog asks of the authority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from migrations.model.bots import Bot
from migrations.model.runs import Migration, OutboxMessage, Round


@dataclass(frozen=True)
class SchemaRevision:
    """Which revision the database has, and which is this version's newest."""

    at: str
    newest: str
    is_known: bool

    @property
    def is_behind(self) -> bool:
        return self.is_known and self.at != self.newest


class WatchStore(Protocol):
    def claim_round(self, what: Round, pause_seconds: float) -> bool:
        """True for one watchdog of all processes; for the next one when the pause is over."""
        ...

    def claim_bots(self, limit: int, pause_seconds: float) -> list[Bot]:
        """The round :attr:`Round.ALIASES`: the next so many bots, after the last one the first.

        Nothing during the pause after anybody's claim.
        """
        ...

    def stalled(self, after_seconds: float, *, line_is_empty: bool = False) -> list[Migration]:
        """Driven migrations whose heartbeat is older, by the database's clock.

        While another's batches keep the workers busy a migration is given more time,
        unless ``line_is_empty``: then none of its batches can be waiting for its turn.
        """
        ...

    def overdue(self) -> list[Migration]:
        """Migrations before the switch whose deadline has passed."""
        ...

    def unsent(self, older_than_seconds: float, limit: int = 100) -> list[OutboxMessage]: ...

    def unsent_of(self, migration_id: UUID) -> list[OutboxMessage]: ...

    def mark_sent(self, message_ids: Sequence[int]) -> None: ...

    def now(self) -> datetime:
        """The database's clock."""
        ...

    def schema(self) -> SchemaRevision:
        """Raises StateStoreUnavailable, also when there are no tables at all."""
        ...
