"""Time as it passes here. What time it is, PostgreSQL says (``Services.now``)."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def sleep(self, seconds: float) -> None: ...

    def monotonic(self) -> float: ...
