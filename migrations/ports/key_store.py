"""Which keys belong together where Milvus gives them, in the authority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from migrations.model.chunks import KeyRange
from migrations.model.given_keys import Intent, Mapped, Pair


class KeyStore(Protocol):
    """Of each pair of collections a map, and what is about to become part of it.

    A chunk that was written again has several stored keys, of which the earlier ones are gone
    from Milvus, or ought to be. A stored key belongs to the chunk that it was given last.
    """

    def pairs_of(self, mapped: Mapped, told: Sequence[int]) -> list[Pair]: ...

    def pairs_within(self, mapped: Mapped, within: KeyRange, chunks: int) -> list[Pair]:
        """All pairs of the first ``chunks`` told keys of the range, in their order."""
        ...

    def told_of(self, mapped: Mapped, stored: Sequence[int]) -> dict[int, int]:
        """{stored: told} of those that are in the map."""
        ...

    def intend(self, mapped: Mapped, rows: Sequence[tuple[int, bytes]]) -> list[int]:
        """Note (told key, digest) of rows before they are inserted; the intents' ids."""
        ...

    def give(self, mapped: Mapped, given: Sequence[tuple[int, int]]) -> None:
        """Make pairs of (id of an intent, stored key), in one transaction with its end.

        An intent that is no more, because its map was forgotten, makes none.
        """
        ...

    def intents(self, mapped: Mapped, told: Sequence[int] | None = None) -> list[Intent]:
        """Those that have not ended, of these keys or of all, the oldest first."""
        ...

    def key_map(self, old: str, new: str, after: int | None, limit: int) -> list[tuple[int, int]]:
        """(old key, new key) of the chunks as they were given last, by old key."""
        ...

    def forget_keys(self, collection: str) -> None:
        """Forget the maps between this collection and others: it is gone."""
        ...
