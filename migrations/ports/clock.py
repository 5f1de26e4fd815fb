"""Time as it passes here. What time it is, PostgreSQL says (``Services.now``)."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def sleep(self, seconds: float) -> None: ...

    def monotonic(self) -> float: ...

    def here(self) -> datetime:
        """What time this host has, right or wrong: to be compared with PostgreSQL's alone."""
        ...
