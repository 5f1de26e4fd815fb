"""A collection's content in two numbers, so that two moments can be compared."""

from __future__ import annotations

from collections.abc import Callable

from migrations.model.chunks import CollectionSchema, Content, content_of
from migrations.ports.vector_store import Moment, VectorStore


def content_of_collection(
    vectors: VectorStore,
    schema: CollectionSchema,
    check: Callable[[], None] = lambda: None,
    as_of: Moment | None = None,
) -> Content:
    """All of a collection, vectors left out. ``check`` is called once a page and may raise."""
    content = Content()
    for page in vectors.scan(schema, as_of=as_of):
        check()
        content += content_of(page)
    return content
