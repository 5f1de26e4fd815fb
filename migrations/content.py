"""A collection's content in one number, so that two moments can be compared."""

from __future__ import annotations

from collections.abc import Callable

from migrations.chunks import CONTENT_DIGESTS, CollectionSchema, Content
from migrations.ports import Moment, VectorStore


def content_digest(
    vectors: VectorStore,
    schema: CollectionSchema,
    check: Callable[[], None] = lambda: None,
    as_of: Moment | None = None,
) -> tuple[int, str]:
    """Chunks, and the sum of their digests modulo 2^128 in hex: the order does not matter.

    Vectors are no part of it. ``check`` is called once a page and may raise.
    """
    count, total = 0, 0
    for page in vectors.scan(schema, as_of=as_of):
        check()
        count += len(page)
        total += sum(int.from_bytes(chunk.digest()) for chunk in page)
    return count, f"{total % 2**128:032x}"


def content_lately(
    vectors: VectorStore, schema: CollectionSchema, check: Callable[[], None] = lambda: None
) -> Content:
    """The same, two seconds ago, to be compared with a sum over parts."""
    count, digest = content_digest(vectors, schema, check, vectors.lately())
    return Content(count, int(digest, 16) % CONTENT_DIGESTS)
