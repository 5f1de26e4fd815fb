"""Milvus as the domain sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from migrations.model.checkup import Privilege
from migrations.model.chunks import (
    ALL_KEYS,
    Chunk,
    CollectionSchema,
    Hit,
    IndexState,
    Key,
    KeyRange,
    Vectors,
)
from migrations.model.search import Search

#: A point in time as the vector store understands it; nobody else looks inside.
Moment = Mapping[str, Any]


class VectorStore(Protocol):
    """Milvus. Every call has a timeout; reads that must see all writes say ``strong``.

    All methods raise VectorStoreUnavailable for what passes and
    VectorStoreRefused for what does not; those that take a collection raise
    CollectionNotFound when it is gone.
    """

    def ping(self) -> str:
        """The server's version."""
        ...

    def exists(self, collection: str) -> bool: ...

    def describe(self, collection: str, vector_field: str = "") -> CollectionSchema:
        """The schema behind a collection or alias; ``name`` is the physical name.

        ``vector_field`` says which float vector is the embedded one, the first if it is not
        said; the others are carried as they are. One that is not there is ``unsupported``.
        """
        ...

    def create_like(
        self, source: CollectionSchema, name: str, dimension: int, owner_tag: str
    ) -> CollectionSchema:
        """Create ``name`` with the source's schema, another dimension and its indexes.

        It can be written to at once and need not be loaded. ``owner_tag`` is kept by the
        server with the collection, see :meth:`owner_tag`.
        A collection that exists already with the same tag is adopted.

        Raises:
            ForeignCollection: ``name`` exists with another tag or none.
        """
        ...

    def owner_tag(self, collection: str) -> str | None:
        """The tag given to :meth:`create_like`, None for a collection not made by it."""
        ...

    def drop(self, collection: str) -> None:
        """Drop a physical collection; one that is gone already is no error."""
        ...

    def is_loaded(self, collection: str) -> bool: ...

    def replicas(self, collection: str) -> list[str]:
        """The resource group of each replica in which it is loaded, "" for the default one.

        One of the default group where the engine knows no replicas.
        """
        ...

    def begin_loading(self, collection: str) -> None:
        """Ask for it to be loaded and do not wait; it can be written to meanwhile."""
        ...

    def load(self, collection: str) -> None:
        """Return once it can be read."""
        ...

    def release(self, collection: str) -> None:
        """Take it out of memory; it can be loaded again and cannot be read until then."""
        ...

    def flush(self, collection: str) -> None:
        """Return when everything acknowledged so far would survive a crash of the server."""
        ...

    def is_settled(self, collection: str) -> bool:
        """Whether everything that is read is stored as it is read.

        Milvus may lose a deletion that it has flushed, and goes on reading as if it had not
        until it has exchanged the segment, some seconds later (docs/decisions.md).
        """
        ...

    def is_flushed_before_read(self) -> bool:
        """Whether rows that are not flushed are so slow to read that flushing them comes first."""
        ...

    def index_state(self, collection: str) -> IndexState:
        """Whether loaded or not; only flushed rows are certain to count.

        Of the vector whose index is furthest behind, where there are several.
        """
        ...

    def resolve_alias(self, alias: str) -> str | None:
        """The physical collection an alias points to, None when there is no such alias."""
        ...

    def point_alias(self, alias: str, collection: str) -> None:
        """Make the alias, or move it."""
        ...

    def drop_alias(self, alias: str) -> None:
        """It points nowhere any more; one that is gone already is no error."""
        ...

    def rename(self, collection: str, name: str) -> None:
        """Call a physical collection otherwise; what is loaded stays loaded, aliases stay its own.

        Raises:
            CollectionNotFound; VectorStoreRefused: the name is taken.
        """
        ...

    def aliases_of(self, collection: str) -> list[str]: ...

    def count(
        self, collection: str, within: KeyRange = ALL_KEYS, *, as_of: Moment | None = None
    ) -> int:
        """Live rows in the range, strongly consistent."""
        ...

    def moment(self) -> Moment:
        """Now. Reads as of it see every write acknowledged before it, perhaps later ones too.

        A read that brings none sees every write acknowledged before its own beginning;
        on some engines it waits for that, so many short reads had better share one.
        """
        ...

    def lately(self) -> Moment:
        """Two seconds ago: reads as of it hardly ever wait, and may miss what came since.

        Only for those whose later looks find what they have missed.
        """
        ...

    def scan_keys(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 10_000,
        as_of: Moment | None = None,
    ) -> Iterator[list[Key]]:
        """Every key of the range in ascending order, each once, in pages, strongly consistent.

        Raises:
            ScanInconsistent: the engine's pages and its own count disagree.
        """
        ...

    def scan(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        """Every chunk of the range in ascending key order; otherwise as :meth:`scan_keys`.

        A key that stands more than once comes once, as one of its rows, and says how many.
        """
        ...

    def scan_rows(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        """As :meth:`scan`, with every row: a key comes as often as it stands.

        They are neighbours on one page, and may be the same row as often.
        """
        ...

    def read(
        self,
        schema: CollectionSchema,
        within: KeyRange,
        *,
        with_vectors: bool = False,
        strong: bool = False,
    ) -> list[Chunk]:
        """The chunks of one batch-sized range, in key order, each key once."""
        ...

    def fetch(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        """The chunks of these keys that exist, in key order, each once, strongly consistent.

        How many rows stand under a key is not looked at.
        """
        ...

    def fetch_rows(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        """As :meth:`fetch`, with every row, see :meth:`scan_rows`."""
        ...

    def upsert(self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Write each chunk's fields and carried vectors with the vector of the same position.

        Keys are distinct within one call; ``vectors`` has shape (len(chunks), dimension).

        Raises:
            VectorStoreRefused: Milvus gives the keys, and by its own keys no row is written again.
        """
        ...

    def insert(
        self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors
    ) -> list[Key]:
        """Write the chunks as new rows where Milvus gives the keys, which are returned in order.

        After an error nobody knows whether, or how many of, the rows are there.
        """
        ...

    def delete(self, schema: CollectionSchema, keys: Sequence[Key]) -> None: ...

    def search(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        *,
        limit: int,
        output_fields: Sequence[str],
        as_of: Moment | None = None,
    ) -> list[list[Hit]]:
        """The nearest chunks of each vector, best first, strongly consistent.

        By the schema's search parameters.
        """
        ...

    def privileges(self) -> list[Privilege]:
        """What a migration does, each tried on a collection of its own that does not stay.

        Raises VectorStoreUnavailable.
        """
        ...

    def find(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        search: Search,
        output_fields: Sequence[str],
    ) -> list[list[Hit]]:
        """What a reader asks for: for each text of ``search`` its page, best first.

        ``vectors`` has shape (texts, dimension). The threshold is not looked at. The fields
        that a chunk lacks are left out, and so are vectors; ``*`` is all of them.

        Raises:
            SearchRefused: the search contradicts itself or the collection.
        """
        ...
