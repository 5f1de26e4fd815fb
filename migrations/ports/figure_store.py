"""What monitoring asks of the authority."""

from __future__ import annotations

from typing import Protocol

from migrations.model.figures import Figures


class FigureStore(Protocol):
    def figures(self) -> Figures:
        """Everything that is counted, by a few statements one after the other."""
        ...
