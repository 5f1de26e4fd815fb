"""Which text a row's vector is of, where the texts stand in no collection; in the authority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from migrations.model.chunks import Key


class TextStore(Protocol):
    """Of a row by collection and key, the digest of the text that its vector is of.

    Writing a row is begun before, and ended after it was written: in between, and where nobody
    has ended it, its text is not known. Where two write a row at the same time nobody knows who
    was the last, so whoever ends what another has begun since makes it unknown for both.
    """

    def begin_texts(self, collection: str, keys: Sequence[Key]) -> int:
        """Their texts are not known from now on; the number is for ending it."""
        ...

    def end_texts(self, collection: str, begun: int, texts: Sequence[tuple[Key, str]]) -> None:
        """The rows were written with vectors of the texts of these digests."""
        ...

    def note_texts(self, collection: str, texts: Sequence[tuple[Key, str]]) -> None:
        """Rows that were found, with what is their text now, of which their vectors may be.

        Where another text is noted, theirs is not known from now on.
        """
        ...

    def embedded_texts(self, collection: str, keys: Sequence[Key]) -> dict[Key, str]:
        """{key: digest} of those that are noted, "" where their text is not known."""
        ...

    def forget_texts(self, collection: str, keys: Sequence[Key] | None = None) -> None:
        """Of these rows, or of all because the collection is gone."""
        ...
