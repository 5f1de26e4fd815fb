"""A user's table in this process' memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from migrations.model.errors import TextsUnavailable
from migrations.model.texts import SqlRecipe

#: Of a world whose texts stand in a table.
IN_A_TABLE = SqlRecipe(sql="REEMBED_TEXTS_FAKE", table="questions", key="id", column="question")


class FakeTextTables:
    """Implements :class:`migrations.ports.text_tables.TextTables`; one table for all recipes."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        #: How often it does not answer from now on.
        self.away = 0
        #: Done before the next look.
        self.before: list[Callable[[], None]] = []

    def texts_of(self, recipe: SqlRecipe, keys: Sequence[Any]) -> dict[str, str]:
        if self.before:
            self.before.pop(0)()
        if self.away:
            self.away -= 1
            raise TextsUnavailable
        return {str(key): self.texts[str(key)] for key in keys if str(key) in self.texts}
