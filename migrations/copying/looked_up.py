"""Collections that hold no text: read together with a table of the user's own.

Whoever compares, catches up, verifies, sweeps or rolls back tells rows apart by what they
hold, and makes the text of that. A text that stands elsewhere can change without its row, on
both sides of a comparison alike, and would never be embedded again. So a row is read with a
further field that Milvus does not know: the text in the table as it stands now; or, of rows
that this run or an earlier one has written, the text that their vector is of. That is told by
a digest that is noted in the authority after the row was written, and taken away before.

Who dies in between leaves rows whose text nobody knows: they differ from any, and are embedded
once more. So a note may lag what Milvus holds, and does not lead it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from migrations.model.chunks import (
    ALL_KEYS,
    LOOKED_UP,
    Chunk,
    CollectionSchema,
    Hit,
    Key,
    KeyRange,
    LookedUp,
    Vectors,
)
from migrations.model.looked_up import LookUp, looked_up
from migrations.model.search import Search
from migrations.ports.text_store import TextStore
from migrations.ports.text_tables import TextTables
from migrations.ports.vector_store import Moment, VectorStore
from migrations.process.failpoints import failpoint


class LookedUpTexts:
    """A vector store that reads schemas with a ``look_up`` together with their texts.

    Implements :class:`migrations.ports.vector_store.VectorStore`; whatever is about other
    schemas, or about a collection as a whole, is the inner store's.
    """

    def __init__(self, vectors: VectorStore, tables: TextTables, notes: TextStore) -> None:
        self._vectors, self._tables, self._notes = vectors, tables, notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vectors, name)

    # --- reading ----------------------------------------------------------------

    def scan(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        pages = self._vectors.scan(
            schema, within, page_size=page_size, with_vectors=with_vectors, as_of=as_of
        )
        return self._scanned(schema, pages)

    def scan_rows(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        pages = self._vectors.scan_rows(
            schema, within, page_size=page_size, with_vectors=with_vectors, as_of=as_of
        )
        return self._scanned(schema, pages)

    def read(
        self,
        schema: CollectionSchema,
        within: KeyRange,
        *,
        with_vectors: bool = False,
        strong: bool = False,
    ) -> list[Chunk]:
        rows = self._vectors.read(schema, within, with_vectors=with_vectors, strong=strong)
        return self._with_texts(schema, rows)

    def fetch(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        rows = self._vectors.fetch(schema, keys, with_vectors=with_vectors, as_of=as_of)
        return self._with_texts(schema, rows)

    def fetch_rows(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        rows = self._vectors.fetch_rows(schema, keys, with_vectors=with_vectors, as_of=as_of)
        return self._with_texts(schema, rows)

    def search(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        *,
        limit: int,
        output_fields: Sequence[str],
        as_of: Moment | None = None,
    ) -> list[list[Hit]]:
        """Hits come with the text of now, where the field of texts that are looked up is wanted."""
        stored = [name for name in output_fields if name != LOOKED_UP]
        answers = self._vectors.search(
            schema, vectors, limit=limit, output_fields=stored, as_of=as_of
        )
        return self._found(schema, answers, output_fields)

    def find(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        search: Search,
        output_fields: Sequence[str],
    ) -> list[list[Hit]]:
        """As :meth:`search`; ``*`` is all that stands in the collection."""
        stored = [name for name in output_fields if name != LOOKED_UP]
        answers = self._vectors.find(schema, vectors, search, stored)
        return self._found(schema, answers, output_fields)

    def _found(
        self, schema: CollectionSchema, answers: list[list[Hit]], wanted: Sequence[str]
    ) -> list[list[Hit]]:
        if schema.look_up is None or LOOKED_UP not in wanted:
            return answers
        now = self._now(schema.look_up, [hit for hits in answers for hit in hits])
        return [
            [replace(hit, fields={**hit.fields, LOOKED_UP: now[hit.key]}) for hit in hits]
            for hits in answers
        ]

    # --- writing ----------------------------------------------------------------

    def upsert(self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """What the rows' vectors are of is noted once they are written, and unknown until then."""
        if schema.look_up is None or not chunks:
            self._vectors.upsert(schema, chunks, vectors)
            return
        begun = self._notes.begin_texts(schema.name, [chunk.key for chunk in chunks])
        stored = [replace(chunk, fields=chunk.stored_fields) for chunk in chunks]
        self._vectors.upsert(schema, stored, vectors)
        failpoint("looked_up.before_noting", collection=schema.name, rows=len(chunks))
        self._notes.end_texts(schema.name, begun, list(_known(chunks)))

    def delete(self, schema: CollectionSchema, keys: Sequence[Key]) -> None:
        if schema.look_up is not None:
            self._notes.forget_texts(schema.name, keys)
        self._vectors.delete(schema, keys)

    # --- texts ------------------------------------------------------------------

    def _scanned(
        self, schema: CollectionSchema, pages: Iterator[list[Chunk]]
    ) -> Iterator[list[Chunk]]:
        """Pages are compared, and digests will do for that."""
        look_up = schema.look_up
        if look_up is None:
            return pages
        if look_up.as_embedded:
            return (self._as_noted(schema, page) for page in pages)
        return (self._as_of_now(look_up, page) for page in pages)

    def _with_texts(self, schema: CollectionSchema, rows: list[Chunk]) -> list[Chunk]:
        look_up = schema.look_up
        if look_up is None:
            return rows
        if not look_up.as_embedded:
            return self._as_of_now(look_up, rows)
        noted, now = self._as_noted(schema, rows), self._now(look_up, rows)
        return [
            _with(row, now[row.key]) if looked_up(row) == now[row.key] else row for row in noted
        ]

    def _as_of_now(self, look_up: LookUp, rows: Sequence[Chunk]) -> list[Chunk]:
        now = self._now(look_up, rows)
        return [_with(row, now[row.key]) for row in rows]

    def _as_noted(self, schema: CollectionSchema, rows: Sequence[Chunk]) -> list[Chunk]:
        noted = self._notes.embedded_texts(schema.name, [row.key for row in rows])
        return [_with(row, LookedUp(noted.get(row.key, ""), is_known=False)) for row in rows]

    def _now(self, look_up: LookUp, rows: Sequence[Chunk | Hit]) -> Mapping[Key, LookedUp]:
        recipe = look_up.recipe
        by = {row.key: recipe.key_of(row.key, row.fields) for row in rows}
        wanted = list(dict.fromkeys(key for key in by.values() if key is not None))
        texts = self._tables.texts_of(recipe, wanted) if wanted else {}
        return {key: recipe.found(texts.get(str(found), "")) for key, found in by.items()}


def note_what_is_found(notes: TextStore, schema: CollectionSchema, chunks: Sequence[Chunk]) -> None:
    """Of rows that others have written: what their text is when a run first reads them.

    Which text their vector is of nobody says. Where the text has changed since, it may have been
    embedded again by whoever changed it, or not, and may change back: so it is not known any
    more, and on the way back such a row is embedded again.
    """
    if schema.look_up is not None and chunks:
        notes.note_texts(schema.name, list(_known(chunks)))


def _known(chunks: Iterable[Chunk]) -> Iterator[tuple[Key, str]]:
    for chunk in chunks:
        found = looked_up(chunk)
        if found is not None and found.digest:
            yield chunk.key, found.digest


def _with(row: Chunk, found: LookedUp) -> Chunk:
    return replace(row, fields={**row.fields, LOOKED_UP: found})
