"""What the old collection held when it was last caught up: 16 bytes a chunk, in key order.

A late write is a write that reached the old collection afterwards. Comparing it with
the new one cannot find it, because the new one is being written to as well; comparing
it with itself, as it was, finds exactly the late writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from migrations.model.chunks import Chunk, Key, KeyRange

#: Bytes of the hash of a key, and of the digest of a chunk's fields. Two keys of one
#: part (some 4,000) share a hash with a probability of 10^-12; an edit keeps its
#: chunk's digest with one of 2^-64.
HASH_BYTES = 8
ROW_BYTES = 2 * HASH_BYTES


@dataclass(frozen=True)
class SnapshotPart:
    """One key range of the old collection; the parts of a migration cover all keys."""

    number: int
    within: KeyRange
    #: Per chunk the hash of its key and :func:`state_hash`, ROW_BYTES together.
    digests: bytes

    @property
    def rows(self) -> int:
        return len(self.digests) // ROW_BYTES

    def by_key_hash(self) -> dict[bytes, bytes]:
        """{hash of the key: state_hash of the chunk}"""
        packed = self.digests
        return {
            packed[at : at + HASH_BYTES]: packed[at + HASH_BYTES : at + ROW_BYTES]
            for at in range(0, len(packed), ROW_BYTES)
        }


@dataclass(frozen=True)
class WrittenRow:
    """A row of the target that catching up has written, replaced or deleted.

    An engine may acknowledge a deletion, show it, and forget it: so what was written is
    looked at again for a while. Contents are told apart by :func:`content_hash`.
    """

    key: Key
    #: What was there before and must not come back.
    was: frozenset[bytes] = frozenset()
    #: What is there since; None when nothing is.
    now: bytes | None = None


def key_hash(key: Key) -> bytes:
    """8 bytes; a number and a text of the same digits differ."""
    return hashlib.blake2b(orjson.dumps(key), digest_size=HASH_BYTES).digest()


def content_hash(chunk: Chunk) -> bytes:
    """The first 8 bytes of the chunk's digest; its vector is no part of it."""
    return chunk.digest()[:HASH_BYTES]


def state_hash(chunk: Chunk) -> bytes:
    """The first 8 bytes of the chunk's state: its content_hash, if its key stands once."""
    return chunk.state()[:HASH_BYTES]


def corrected(part: SnapshotPart, states: Mapping[Key, Chunk | None]) -> SnapshotPart:
    """The part with these keys, all of its range, as they are now; None where none is."""
    digests = part.by_key_hash()
    for key, chunk in states.items():
        digests.pop(key_hash(key), None)
        if chunk is not None:
            digests[key_hash(key)] = state_hash(chunk)
    packed = b"".join(key + state for key, state in digests.items())
    return SnapshotPart(part.number, part.within, packed)


def snapshot_of(number: int, within: KeyRange, chunks: Sequence[Chunk]) -> SnapshotPart:
    """The part as it is now; ``chunks`` are all chunks of the range, in key order."""
    digests = b"".join(key_hash(chunk.key) + state_hash(chunk) for chunk in chunks)
    return SnapshotPart(number, within, digests)
