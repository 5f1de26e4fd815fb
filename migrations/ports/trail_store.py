"""The trail in the authority: what was done with which token."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from migrations.model.access import Deed, TrailEntry, TrailSearch


class TrailStore(Protocol):
    def record_deed(self, deed: Deed) -> None: ...

    def trail(self, kept: timedelta, search: TrailSearch) -> list[TrailEntry]:
        """The newest first, none older than ``kept``."""
        ...

    def trim_trail(self, token_id: int, kept: timedelta, most: int) -> None:
        """Forget what is older than ``kept``, and of one token all but the newest ``most``."""
        ...
