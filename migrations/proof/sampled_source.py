"""A collection of which some rows alone are looked at, as if it held no others.

What a trial has moved is compared with what the old collection holds of the same rows: asked
whole, it would show rows that were never moved. They are few, so they are asked here, each of
them, and no index leaves one out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from migrations.model.chunks import Chunk, CollectionSchema, Hit, Key, Vectors, stacked
from migrations.ports.vector_store import Moment, VectorStore

#: Of these metrics a smaller score is nearer; Milvus tells the square of the distance.
_DISTANCE = "L2"


class SampledSource:
    """A vector store that shows of one collection these ``chunks``, read with their vectors.

    Implements :class:`migrations.ports.vector_store.VectorStore` as far as checks of
    verification ask a source; whatever is about other collections is the inner store's.
    """

    def __init__(
        self, vectors: VectorStore, source: CollectionSchema, chunks: Sequence[Chunk]
    ) -> None:
        self._vectors, self._source = vectors, source
        self._chunks = {chunk.key: chunk for chunk in chunks}
        self._stored = stacked(chunks, source.dimension)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vectors, name)

    def fetch(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        if schema.name != self._source.name:
            return self._vectors.fetch(schema, keys, with_vectors=with_vectors, as_of=as_of)
        wanted = set(keys)
        return [chunk for key, chunk in self._chunks.items() if key in wanted]

    def search(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        *,
        limit: int,
        output_fields: Sequence[str],
        as_of: Moment | None = None,
    ) -> list[list[Hit]]:
        if schema.name != self._source.name:
            return self._vectors.search(
                schema, vectors, limit=limit, output_fields=output_fields, as_of=as_of
            )
        scores = scores_by(schema.metric, vectors, self._stored)
        nearest = np.argsort(scores if schema.metric == _DISTANCE else -scores, kind="stable")
        chunks = list(self._chunks.values())
        return [
            [
                Hit(chunks[place].key, float(row[place]), _only(output_fields, chunks[place]))
                for place in order[:limit]
            ]
            for row, order in zip(scores, nearest, strict=True)
        ]


def scores_by(metric: str, questions: Vectors, stored: Vectors) -> Vectors:
    """As Milvus scores them, of shape (questions, stored)."""
    if metric == _DISTANCE:
        squares = np.square(questions).sum(axis=1)[:, None] + np.square(stored).sum(axis=1)
        return np.asarray(squares - 2 * questions @ stored.T, dtype=np.float32)
    if metric != "IP":
        questions, stored = _of_length_1(questions), _of_length_1(stored)
    return np.asarray(questions @ stored.T, dtype=np.float32)


def _of_length_1(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def _only(wanted: Sequence[str], chunk: Chunk) -> Mapping[str, Any]:
    return {name: chunk.fields[name] for name in wanted if name in chunk.fields}
