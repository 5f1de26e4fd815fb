"""Collections whose keys Milvus gives, told by the keys of the collections they are copies of.

Such a collection can neither be given the source's keys nor be written to by its own: a row
that is written again is deleted and inserted, and has another key then. So all rows of a
target are told by the keys of the source, through a map in the authority, and whoever
compares, catches up, verifies, sweeps or rolls back needs not know.

Before rows are inserted it is noted that they are going to be, and once Milvus has given
their keys, notes become pairs. Who dies in between leaves rows that are in no pair. They are
found by their content when somebody asks for their keys, and become pairs then. A row that is
in no pair and was not announced is a **stranger**, told by a key below 0: before the switch
nobody's, and too many; after it a user's own, which no run looks at from this side.

A chunk that was written again has several stored keys, and all of them are looked at. So a
row whose deletion did not last shows as a key that stands twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog

from migrations.model.chunks import (
    ALL_KEYS,
    Chunk,
    CollectionSchema,
    Hit,
    Key,
    KeyRange,
    Vectors,
    once_each,
)
from migrations.model.given_keys import (
    Intent,
    Mapped,
    Pair,
    digest_of,
    is_stranger,
    stored_of_stranger,
    stranger,
)
from migrations.ports.key_store import KeyStore
from migrations.ports.vector_store import Moment, VectorStore
from migrations.process.failpoints import failpoint

log = structlog.get_logger(__name__)


class KeyedVectors:
    """A vector store that reads and writes schemas which are ``keyed_as`` another collection.

    Implements :class:`migrations.ports.vector_store.VectorStore`; whatever is about other
    schemas, or about a collection as a whole, is the inner store's.
    """

    def __init__(self, vectors: VectorStore, keys: KeyStore) -> None:
        self._vectors, self._keys = vectors, keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vectors, name)

    # --- reading ----------------------------------------------------------------

    def scan_keys(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 10_000,
        as_of: Moment | None = None,
    ) -> Iterator[list[Key]]:
        if schema.keyed_as is None:
            return self._vectors.scan_keys(schema, within, page_size=page_size, as_of=as_of)
        pages = self.scan(schema, within, page_size=page_size, as_of=as_of)
        return ([chunk.key for chunk in page] for page in pages)

    def scan(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        pages = self.scan_rows(
            schema, within, page_size=page_size, with_vectors=with_vectors, as_of=as_of
        )
        return map(once_each, pages)

    def scan_rows(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        if schema.keyed_as is None:
            return self._vectors.scan_rows(
                schema, within, page_size=page_size, with_vectors=with_vectors, as_of=as_of
            )
        # One moment for all pages, as within one scan of the inner store.
        now = self._vectors.moment() if as_of is None else as_of
        return self._scanned(schema, within, page_size, with_vectors, now)

    def read(
        self,
        schema: CollectionSchema,
        within: KeyRange,
        *,
        with_vectors: bool = False,
        strong: bool = False,
    ) -> list[Chunk]:
        if schema.keyed_as is None:
            return self._vectors.read(schema, within, with_vectors=with_vectors, strong=strong)
        pages = self.scan(schema, within, with_vectors=with_vectors)
        return [chunk for page in pages for chunk in page]

    def fetch(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        if schema.keyed_as is None:
            return self._vectors.fetch(schema, keys, with_vectors=with_vectors, as_of=as_of)
        rows = self.fetch_rows(schema, keys, with_vectors=with_vectors, as_of=as_of)
        return [replace(chunk, rows=1) for chunk in once_each(rows)]

    def fetch_rows(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        if schema.keyed_as is None:
            return self._vectors.fetch_rows(schema, keys, with_vectors=with_vectors, as_of=as_of)
        pairs = self._pairs_or_announced(schema, _distinct(keys), as_of)
        return self._rows(schema, pairs, with_vectors, as_of)

    def search(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        *,
        limit: int,
        output_fields: Sequence[str],
        as_of: Moment | None = None,
    ) -> list[list[Hit]]:
        answers = self._vectors.search(
            schema, vectors, limit=limit, output_fields=output_fields, as_of=as_of
        )
        if schema.keyed_as is None:
            return answers
        stored = list({int(hit.key) for hits in answers for hit in hits})
        told = self._keys.told_of(_mapped(schema), stored)
        return [
            [replace(hit, key=told.get(int(hit.key), stranger(int(hit.key)))) for hit in hits]
            for hits in answers
        ]

    # --- writing ----------------------------------------------------------------

    def upsert(self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """What stood under the keys is deleted first: until the rows are inserted they are gone."""
        if schema.keyed_as is None or not chunks:
            self._vectors.upsert(schema, chunks, vectors)
            return
        # What was announced may be there, by an attempt that failed.
        pairs = self._pairs_or_announced(schema, _distinct(chunk.key for chunk in chunks))
        rows = [(int(chunk.key), digest_of(chunk, schema.key_field)) for chunk in chunks]
        announced = self._keys.intend(_mapped(schema), rows)
        if pairs:
            self._vectors.delete(schema, [pair.stored for pair in pairs])
        given = self._vectors.insert(schema, chunks, vectors)
        failpoint("keyed.before_pairs", collection=schema.name, rows=len(given))
        stored = [int(key) for key in given]
        self._keys.give(_mapped(schema), list(zip(announced, stored, strict=True)))

    def delete(self, schema: CollectionSchema, keys: Sequence[Key]) -> None:
        if schema.keyed_as is None:
            self._vectors.delete(schema, keys)
            return
        stored = [pair.stored for pair in self._pairs_of(schema, _distinct(keys))]
        if stored:
            self._vectors.delete(schema, stored)

    # --- told and stored --------------------------------------------------------

    def _scanned(
        self,
        schema: CollectionSchema,
        within: KeyRange,
        page_size: int,
        with_vectors: bool,
        now: Moment,
    ) -> Iterator[list[Chunk]]:
        strangers = [key for key in self._strangers(schema, within, now) if key in within]
        for start in range(0, len(strangers), page_size):
            part = strangers[start : start + page_size]
            pairs = [Pair(key, stored_of_stranger(key)) for key in part]
            yield from _if_any(self._rows(schema, pairs, with_vectors, now))
        after = within.after
        while pairs := self._keys.pairs_within(
            _mapped(schema), KeyRange(after, within.upto), page_size
        ):
            yield from _if_any(self._rows(schema, pairs, with_vectors, now))
            after = pairs[-1].told

    def _pairs_or_announced(
        self, schema: CollectionSchema, told: Collection[int], as_of: Moment | None = None
    ) -> list[Pair]:
        """Of these keys, once it was looked for rows that nobody has told of."""
        pairs = self._pairs_of(schema, told)
        missing = set(told) - {pair.told for pair in pairs}
        if missing and self._find_announced(schema, missing, as_of):
            pairs = self._pairs_of(schema, told)
        return pairs

    def _pairs_of(self, schema: CollectionSchema, told: Collection[int]) -> list[Pair]:
        """Strangers are told by their own keys, if they have not become pairs since."""
        pairs = self._keys.pairs_of(_mapped(schema), [key for key in told if not is_stranger(key)])
        below = [stored_of_stranger(key) for key in told if is_stranger(key)]
        known = self._keys.told_of(_mapped(schema), below)
        return pairs + [Pair(stranger(key), key) for key in below if key not in known]

    def _rows(
        self,
        schema: CollectionSchema,
        pairs: Sequence[Pair],
        with_vectors: bool,
        as_of: Moment | None,
    ) -> list[Chunk]:
        """What stands under the stored keys, told by the others, in their order."""
        told = {pair.stored: pair.told for pair in pairs}
        found = self._vectors.fetch(schema, list(told), with_vectors=with_vectors, as_of=as_of)
        return sorted(
            (_told_by(schema, row, told[int(row.key)]) for row in found),
            key=lambda chunk: chunk.key,
        )

    def _strangers(
        self, schema: CollectionSchema, within: KeyRange, as_of: Moment | None
    ) -> list[int]:
        """In the order in which they are told; what was announced becomes a pair on the way."""
        if within.after is not None and not is_stranger(int(within.after)):
            return []
        unknown = self._in_no_pair(schema, as_of)
        if not unknown:
            return []
        found = self._become_pairs(schema, unknown, self._keys.intents(_mapped(schema)), as_of)
        return sorted(stranger(key) for key in unknown - found)

    def _in_no_pair(self, schema: CollectionSchema, as_of: Moment | None) -> set[int]:
        """Stored keys; all are read, which are 8 bytes each and a page at a time."""
        unknown: set[int] = set()
        for page in self._vectors.scan_keys(_own(schema), as_of=as_of):
            stored = [int(key) for key in page]
            unknown.update(set(stored) - self._keys.told_of(_mapped(schema), stored).keys())
        return unknown

    def _find_announced(
        self, schema: CollectionSchema, told: Iterable[int], as_of: Moment | None = None
    ) -> bool:
        """Whether rows were found that somebody has inserted for these keys and not told of."""
        wanted = [key for key in told if not is_stranger(key)]
        intents = self._keys.intents(_mapped(schema), wanted)
        if not intents:
            return False
        unknown = self._in_no_pair(schema, as_of)
        return bool(self._become_pairs(schema, unknown, intents, as_of))

    def _become_pairs(
        self,
        schema: CollectionSchema,
        unknown: Collection[int],
        intents: Sequence[Intent],
        as_of: Moment | None,
    ) -> set[int]:
        """Stored keys that are in pairs now: rows with the content of an intent.

        One whose key has a row by now is left alone: whoever came after has written it again.
        """
        have_rows = {pair.told for pair in self._pairs_of(schema, [i.told for i in intents])}
        waiting: defaultdict[bytes, list[Intent]] = defaultdict(list)
        for intent in intents:
            if intent.told not in have_rows:
                waiting[intent.digest].append(intent)
        if not waiting or not unknown:
            return set()
        given: list[tuple[int, int]] = []
        for row in self._vectors.fetch(_own(schema), sorted(unknown), as_of=as_of):
            same = waiting.get(digest_of(row, schema.key_field))
            if same:
                given.append((same.pop(0).id, int(row.key)))
        self._keys.give(_mapped(schema), given)
        if given:
            log.info("announced_rows_found", collection=schema.name, rows=len(given))
        return {stored for _, stored in given}


def _mapped(schema: CollectionSchema) -> Mapped:
    assert schema.keyed_as is not None  # noqa: S101 # the callers looked
    return Mapped(schema.keyed_as, schema.name)


def _own(schema: CollectionSchema) -> CollectionSchema:
    """The same collection told by its own keys."""
    return replace(schema, keyed_as=None)


def _distinct(keys: Iterable[Key]) -> dict[int, None]:
    return dict.fromkeys(int(key) for key in keys)


def _told_by(schema: CollectionSchema, row: Chunk, key: int) -> Chunk:
    return replace(row, key=key, fields={**row.fields, schema.key_field: key})


def _if_any(page: list[Chunk]) -> Iterator[list[Chunk]]:
    if page:
        yield page
