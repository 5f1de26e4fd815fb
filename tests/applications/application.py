"""An application as a test drives it: it fills a collection, searches it, and writes to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from pymilvus import DataType, Function, FunctionType, MilvusClient, MilvusException

from tests.applications.documents import STORED, WRITTEN_LATER, Document
from tests.applications.packages import Package, vectors_of
from tests.harness.rows import TIMEOUT_SECONDS, connect

#: How many answers a question gets.
MOST = 5


@dataclass(frozen=True)
class Place:
    """Where an application works: a collection or an alias, and the model it embeds with."""

    uri: str
    collection: str
    dimension: int


class Application(Protocol):
    @property
    def stored(self) -> Sequence[Document]: ...

    @property
    def reads_alias(self) -> bool:
        """Whether it can be given an alias where it wants a collection."""
        ...

    def fill(self, place: Place) -> list[str]:
        """Make the collection and store the documents; the texts that were embedded."""
        ...

    def search(self, place: Place, questions: Sequence[str]) -> list[list[int]]:
        """The numbers of the documents that are found, for each question."""
        ...

    def write(self, place: Place, documents: Sequence[Document]) -> list[str]:
        """Store further documents; the texts that were embedded."""
        ...


def number_of(documents: Sequence[Document], text: str, title: str | None = None) -> int:
    """Which document this is; -1 for none."""
    return next(
        (d.number for d in documents if d.text == text and title in (None, d.title)),
        -1,
    )


@dataclass(frozen=True)
class Packaged:
    """The application's own package."""

    package: Package
    variant: str = ""
    stored: Sequence[Document] = tuple(STORED)
    reads_alias: bool = True

    def fill(self, place: Place) -> list[str]:
        return self._store("fill", place, self.stored)

    def write(self, place: Place, documents: Sequence[Document]) -> list[str]:
        return self._store("write", place, documents)

    def search(self, place: Place, questions: Sequence[str]) -> list[list[int]]:
        found = self._ask("search", place, questions=list(questions), most=MOST)
        known = [*self.stored, *WRITTEN_LATER]
        return [[number_of(known, **hit) for hit in hits] for hits in found]

    def _store(self, command: str, place: Place, documents: Sequence[Document]) -> list[str]:
        embedded: list[str] = []
        told = [{"number": d.number, "title": d.title, "text": d.text} for d in documents]
        self._ask(command, place, embedded, documents=told)
        return embedded

    def _ask(
        self, command: str, place: Place, embedded: list[str] | None = None, **more: Any
    ) -> Any:
        return self.package.ask(command, embedded, variant=self.variant, **vars(place), **more)


@dataclass(frozen=True)
class Rebuilt:
    """A collection made with pymilvus as the application's source makes it.

    ``columns`` are those besides the vector, the key first; ``row`` leaves an auto-id key out.
    """

    columns: Mapping[str, Mapping[str, Any]]
    row: Callable[[Document], dict[str, Any]]
    vector: str = "vector"
    dynamic: bool = False
    index: Mapping[str, Any] = field(
        default_factory=lambda: {"index_type": "AUTOINDEX", "metric_type": "COSINE"}
    )
    #: What is embedded of a document.
    embedded: Callable[[Document], str] = lambda document: document.text
    #: From which column into which a BM25 function leads.
    bm25: tuple[str, str] | None = None
    #: Other columns with an index.
    indexed: Sequence[str] = ()
    shards: int | None = None
    writes: str = "upsert"
    #: Whether a vector is the signs of what the model answers.
    binary: bool = False
    stored: Sequence[Document] = tuple(STORED)
    reads_alias: bool = True

    def fill(self, place: Place) -> list[str]:
        milvus = connect(place.uri)
        try:
            self._make(milvus, place)
        finally:
            milvus.close()
        return self._store(place, self.stored, "insert")

    def write(self, place: Place, documents: Sequence[Document]) -> list[str]:
        return self._store(place, documents, self.writes)

    def search(self, place: Place, questions: Sequence[str]) -> list[list[int]]:
        milvus = connect(place.uri)
        try:
            answers = milvus.search(
                place.collection,
                data=vectors_of(place.dimension, list(questions)),
                anns_field=self.vector,
                limit=MOST,
                output_fields=list(self.row(self.stored[0])),
                consistency_level="Strong",
                timeout=TIMEOUT_SECONDS,
            )
        finally:
            milvus.close()
        return [[self._number(hit) for hit in hits] for hits in answers]

    def _number(self, hit: Mapping[str, Any]) -> int:
        key = next(iter(self.columns))
        found = {**hit["entity"], **({key: hit[key]} if key in self.row(self.stored[0]) else {})}
        known = [*self.stored, *WRITTEN_LATER]
        return next((d.number for d in known if self.row(d) == found), -1)

    def _make(self, milvus: MilvusClient, place: Place) -> None:
        schema = milvus.create_schema(enable_dynamic_field=self.dynamic)
        index = milvus.prepare_index_params()
        for column, options in self.columns.items():
            schema.add_field(column, **options)
        kind = DataType.BINARY_VECTOR if self.binary else DataType.FLOAT_VECTOR
        schema.add_field(self.vector, kind, dim=place.dimension)
        index.add_index(self.vector, **self.index)
        if self.bm25 is not None:
            text, sparse = self.bm25
            schema.add_field(sparse, DataType.SPARSE_FLOAT_VECTOR)
            schema.add_function(
                Function(
                    name="bm25",
                    function_type=FunctionType.BM25,
                    input_field_names=[text],
                    output_field_names=[sparse],
                )
            )
            index.add_index(sparse, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        more = {} if self.shards is None else {"num_shards": self.shards}
        milvus.create_collection(
            place.collection, schema=schema, index_params=index, timeout=TIMEOUT_SECONDS, **more
        )
        for column in self.indexed:
            _index_scalar(milvus, place.collection, column)

    def _store(self, place: Place, documents: Sequence[Document], how: str) -> list[str]:
        embedded = [self.embedded(document) for document in documents]
        vectors: list[Any] = vectors_of(place.dimension, embedded)
        if self.binary:
            vectors = [np.packbits(np.array(vector) > 0).tobytes() for vector in vectors]
        rows = [
            {**self.row(document), self.vector: vector}
            for document, vector in zip(documents, vectors, strict=True)
        ]
        milvus = connect(place.uri)
        try:
            getattr(milvus, how)(place.collection, rows, timeout=TIMEOUT_SECONDS)
        finally:
            milvus.close()
        return embedded


def _index_scalar(milvus: MilvusClient, collection: str, column: str) -> None:
    """By the kind that the engine has: Milvus 2.3.5 has no inverted index yet."""
    for kind in ("INVERTED", "Trie"):
        index = milvus.prepare_index_params()
        index.add_index(column, index_type=kind)
        try:
            milvus.create_index(collection, index, timeout=TIMEOUT_SECONDS)
        except MilvusException:
            if kind == "Trie":
                raise
        else:
            return
