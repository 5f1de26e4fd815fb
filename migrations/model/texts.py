"""Which text of a chunk is embedded: the only place that knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """How the text that is embedded is made of a chunk's fields: it is one of them."""

    column: str

    def __str__(self) -> str:
        return f"the text field {self.column!r}"

    @property
    def fields(self) -> list[str]:
        """Names of the fields that the text is made of."""
        return [self.column]

    def text_of(self, fields: Mapping[str, Any]) -> str:
        """The text of a chunk with these fields, "" where it has none."""
        return str(fields.get(self.column) or "")
