"""Runs now and past, and what has happened in each, for those who look."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from migrations.model.history import RunSearch, RunSummary
from migrations.model.runs import Event


class HistoryStore(Protocol):
    def runs(self, search: RunSearch) -> list[RunSummary]:
        """In the order that is asked for, at most ``limit`` of them."""
        ...

    def events(self, migration_id: UUID, after: int = 0, limit: int | None = None) -> list[Event]:
        """Those that came after the event of this number, oldest first; [] of what is unknown."""
        ...
