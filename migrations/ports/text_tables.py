"""Tables of users in which texts stand that their collections do not hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from migrations.model.texts import SqlRecipe


class TextTables(Protocol):
    """Reads; nothing is ever written there.

    All methods raise TextsUnavailable for what passes and InvalidConfiguration for what does
    not: a variable that is not set, a table or column that is not there or may not be read, a
    key that stands twice. No message says where the database is.
    """

    def texts_of(self, recipe: SqlRecipe, keys: Sequence[Any]) -> dict[str, str]:
        """{key as text: text} of the keys that have a row with a text.

        Without keys it is only seen whether the table can be read.
        """
        ...
