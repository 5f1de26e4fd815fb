"""Texts that come as the ids of a vocabulary, as the domain sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Vocabulary(Protocol):
    @property
    def name(self) -> str: ...

    def text_of(self, ids: Sequence[int]) -> str:
        """The text whose tokens these are.

        A character that was cut in two at either end is lost, as it is to whoever cut it.

        Raises:
            TokensUnknown: one is no id of this vocabulary.
        """
        ...
