"""A collection's content in one number, so that two moments can be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrations.model.chunks import CONTENT_DIGESTS, Chunk, CollectionSchema, Content
from migrations.ports.vector_store import Moment, VectorStore


class ContentSum:
    """Chunks and the sum of their digests modulo 2^128: the order does not matter.

    Vectors are no part of it.
    """

    def __init__(self) -> None:
        self.chunks = 0
        self._digests = 0

    def add(self, page: Sequence[Chunk]) -> None:
        self.chunks += len(page)
        self._digests += sum(int.from_bytes(chunk.digest()) for chunk in page)

    @property
    def digest(self) -> str:
        """In hex."""
        return f"{self._digests % 2**128:032x}"


def content_digest(
    vectors: VectorStore,
    schema: CollectionSchema,
    check: Callable[[], None] = lambda: None,
    as_of: Moment | None = None,
) -> tuple[int, str]:
    """Chunks and digest of a whole collection, see :class:`ContentSum`.

    ``check`` is called once a page and may raise.
    """
    content = ContentSum()
    for page in vectors.scan(schema, as_of=as_of):
        check()
        content.add(page)
    return content.chunks, content.digest


def content_lately(
    vectors: VectorStore, schema: CollectionSchema, check: Callable[[], None] = lambda: None
) -> Content:
    """The same, two seconds ago, to be compared with a sum over parts."""
    count, digest = content_digest(vectors, schema, check, vectors.lately())
    return Content(count, int(digest, 16) % CONTENT_DIGESTS)
