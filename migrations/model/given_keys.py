"""Keys that Milvus gives: a copy of a row has another one, and a map tells which is which.

Between two collections a **pair** says that a row of one and a row of the other are the same
chunk. Either of the two may be the source of a run, so a pair has an old and a new key, by
which of the collections was made from the other; a run that goes back looks through the same
pairs from the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from migrations.model.chunks import Chunk, Key, KeyRange


@dataclass(frozen=True)
class Mapped:
    """A collection whose rows are told by the keys of another one."""

    #: Whose keys they are told by.
    keyed_as: str
    #: Where they are stored.
    collection: str


@dataclass(frozen=True)
class Pair:
    """One chunk: the key it is told by, and the one that its row is stored under."""

    told: int
    stored: int


@dataclass(frozen=True)
class Intent:
    """A row that was about to be inserted when it was last heard of."""

    id: int
    #: The key it is told by.
    told: int
    #: Of its content, see :func:`digest_of`.
    digest: bytes


def digest_of(chunk: Chunk, key_field: str) -> bytes:
    """16 bytes of what stands in its fields besides the key."""
    fields = {name: value for name, value in chunk.fields.items() if name != key_field}
    return replace(chunk, fields=fields).digest()


#: All strangers.
STRANGERS = KeyRange(None, -1)


def stranger(stored: int) -> int:
    """The key by which a row that is in no pair is told; Milvus gives none below 0."""
    return -1 - stored


def is_stranger(told: Key) -> bool:
    return isinstance(told, int) and told < 0


def stored_of_stranger(told: int) -> int:
    return -1 - told
