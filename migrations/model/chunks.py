"""Chunks, key ranges and collection schemas: the data that is moved."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

if TYPE_CHECKING:  # whoever only names keys and tasks has no need of it
    import numpy as np
    import numpy.typing as npt

    from migrations.model.config import TargetIndex
    from migrations.model.looked_up import LookUp

#: A Milvus primary key. VARCHAR keys compare by UTF-8 bytes, which is how
#: Python compares str (code point order is the same order).
Key = str | int

#: float32, shape (rows, dimension), C-contiguous.
Vectors: TypeAlias = "npt.NDArray[np.float32]"


@dataclass(frozen=True)
class KeyRange:
    """The keys greater than ``after`` and up to and including ``upto``; None is unbounded."""

    after: Key | None = None
    upto: Key | None = None

    def __contains__(self, key: Key) -> bool:
        above = self.after is None or key > self.after  # type: ignore[operator]  # one key type per collection
        return above and (self.upto is None or key <= self.upto)  # type: ignore[operator]  # as above

    def __str__(self) -> str:
        return f"({_shown(self.after)}, {_shown(self.upto)}]"


def _shown(bound: Key | None) -> str:
    if bound is None:
        return "…"
    text = str(bound)
    return text if len(text) <= 24 else text[:21] + "…"


ALL_KEYS = KeyRange()

#: Stands among a chunk's fields where its text is looked up elsewhere. Milvus has no such name.
LOOKED_UP = "$looked_up"


@dataclass(frozen=True)
class LookedUp:
    """The text of a chunk that stands elsewhere, and may change without the chunk.

    Of a row that is moved it is the text as it stands now; of a row that was written, the one
    that its vector is of, of which only the digest may be known. Two are equal if their
    digests are.
    """

    #: As hex; "" where nobody knows which text the vector is of, which equals no text's.
    digest: str
    #: "" where there is none, or it is not known.
    text: str = field(default="", compare=False)
    #: Whether ``text`` is the one that the digest is of.
    is_known: bool = field(default=True, compare=False)


def _told(value: Any) -> str:
    """Of what is no JSON: a text that stands elsewhere counts by its digest."""
    if isinstance(value, LookedUp):
        return value.digest
    raise TypeError


@dataclass(frozen=True)
class Chunk:
    """One row of a bot's collection.

    ``fields`` holds every column that is not a vector, the key, the text and
    the members of the dynamic field included. ``vector`` is float32 of shape
    (dimension,), or None where it was not asked for. ``rows`` is how many rows
    stand under the key: where there are more, this is one of them, see
    :func:`once_each`. ``carried`` holds the vectors of other fields, which are
    copied as they are: the bytes that Milvus stores, by the field's name.
    """

    key: Key
    fields: Mapping[str, Any]
    vector: npt.NDArray[np.float32] | None = None
    rows: int = 1
    carried: Mapping[str, bytes] = field(default_factory=dict)

    def digest(self) -> bytes:
        """16 bytes that change when anything but the embedded vector changes.

        BLAKE2b of the fields as sorted JSON, and of each carried vector by its name.
        """
        canonical = orjson.dumps(
            dict(self.fields),
            default=_told,
            option=orjson.OPT_SORT_KEYS
            | orjson.OPT_NON_STR_KEYS
            | orjson.OPT_PASSTHROUGH_DATACLASS,
        )
        for name in sorted(self.carried):
            value = self.carried[name]
            canonical += orjson.dumps([name, len(value)]) + value
        return hashlib.blake2b(canonical, digest_size=16).digest()

    @property
    def stored_fields(self) -> dict[str, Any]:
        """What stands in the collection of its fields."""
        return {name: value for name, value in self.fields.items() if name != LOOKED_UP}

    def holds_the_same_as(self, other: Chunk) -> bool:
        """Whether all but the embedded vectors is equal, bit for bit."""
        return self.fields == other.fields and self.carried == other.carried

    def state(self) -> bytes:
        """16 bytes by which a later look tells whether the key has been written to.

        Its digest; of a key that stands more than once, of which Milvus shows now one row
        and now another, its number of rows, which any write to it changes.
        """
        if self.rows == 1:
            return self.digest()
        return hashlib.blake2b(orjson.dumps([self.key, self.rows]), digest_size=16).digest()


def once_each(rows: Sequence[Chunk]) -> list[Chunk]:
    """One chunk of each key, in the order of the rows, which come key by key."""
    times = Counter(row.key for row in rows)
    if len(times) == len(rows):
        return list(rows)
    one = {row.key: row for row in reversed(rows)}
    return [replace(one[key], rows=many) for key, many in times.items()]


#: A digest of content is below this. It is a sum, so that order does not matter.
CONTENT_DIGESTS = 2**62


@dataclass(frozen=True)
class Content:
    """What some chunks hold besides their vectors, in two numbers that can be added up."""

    chunks: int = 0
    #: Sum of the chunks' states modulo CONTENT_DIGESTS.
    digest: int = 0

    @classmethod
    def of(cls, chunks: int, digest: str) -> Content:
        """From a digest in hex; what older versions wrote is a sum modulo 2^128."""
        return cls(chunks, int(digest, 16) % CONTENT_DIGESTS)

    @property
    def hex(self) -> str:
        return f"{self.digest:016x}"

    def __add__(self, other: Content) -> Content:
        digest = (self.digest + other.digest) % CONTENT_DIGESTS
        return Content(self.chunks + other.chunks, digest)


def content_of(chunks: Sequence[Chunk]) -> Content:
    digest = sum(int.from_bytes(chunk.state()) for chunk in chunks)
    return Content(len(chunks), digest % CONTENT_DIGESTS)


def vector_of(chunk: Chunk) -> npt.NDArray[np.float32]:
    """Of one that was read with its vector."""
    assert chunk.vector is not None  # noqa: S101 # as said
    return chunk.vector


def stacked(chunks: Sequence[Chunk], dimension: int) -> Vectors:
    """The chunks' vectors, which must have been read, as one array of (len(chunks), dimension)."""
    import numpy as np

    if not chunks:
        return np.empty((0, dimension), dtype=np.float32)
    return np.stack([np.asarray(chunk.vector, dtype=np.float32) for chunk in chunks])


@dataclass(frozen=True)
class CollectionSchema:
    """What we must know of a collection to read it and to make another like it."""

    name: str
    key_field: str
    key_is_string: bool
    vector_field: str
    dimension: int
    metric: str
    #: Names of the VARCHAR fields that are not the key, in the collection's order.
    text_candidates: tuple[str, ...]
    #: Names of the float vector fields, any of which may be the one that is embedded.
    float_vectors: tuple[str, ...] = ()
    #: Sentences naming what we cannot carry over exactly; empty when we can.
    unsupported: tuple[str, ...] = ()
    #: How the embedded vector's index is searched by us; empty: as Milvus does by itself.
    search_params: Mapping[str, Any] = field(default_factory=dict)
    #: The adapter's own full description, JSON-able; ``create_like`` builds from it.
    description: Mapping[str, Any] = field(default_factory=dict)
    #: Whether Milvus gives the keys: a copy of the collection gets others.
    key_is_given: bool = False
    #: The collection by whose keys its rows are told, see :mod:`migrations.copying.keyed`;
    #: None where its own are meant.
    keyed_as: str | None = None
    #: How the texts of its rows are looked up elsewhere, see :mod:`migrations.copying.looked_up`;
    #: None where they stand in the rows.
    look_up: LookUp | None = None

    def differences(
        self, other: CollectionSchema, among: Collection[str] | None = None
    ) -> list[str]:
        """What differs in ``other`` besides its name and dimension, one sentence each.

        ``among`` names members of the description; without it all are compared.
        """
        mine, theirs = dict(self.description), dict(other.description)
        return [
            f"{key}: {_told_apart(mine.get(key), theirs.get(key))}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key) and (among is None or key in among)
        ]

    @property
    def index_type(self) -> str:
        """Of the embedded vector's index, "" where it has none."""
        for index in self._indexes:
            if index["field_name"] == self.vector_field:
                return str(index["params"].get("index_type", ""))
        return ""

    def with_index(self, wanted: TargetIndex | None) -> CollectionSchema:
        """With this index of the embedded vector, which keeps its name and metric, if any."""
        if wanted is None:
            return self
        told = {name: _as_described(value) for name, value in wanted.params.items()}

        def of(index: Mapping[str, Any]) -> Mapping[str, Any]:
            if index["field_name"] != self.vector_field:
                return index
            metric = {n: v for n, v in index["params"].items() if n == "metric_type"}
            return {**index, "params": {**told, **metric, "index_type": wanted.index_type}}

        indexes = [of(index) for index in self._indexes]
        return replace(self, description={**self.description, "indexes": indexes})

    @property
    def words_field(self) -> str | None:
        """The sparse vector that Milvus makes of a text for BM25, None where there is none."""
        for function in self.description.get("functions", ()):
            if function["type"] == "BM25":
                return str(function["output_field_names"][0])
        return None

    @property
    def _indexes(self) -> list[Mapping[str, Any]]:
        return list(self.description.get("indexes", ()))


def metric_in(description: Mapping[str, Any], vector_field: str) -> str | None:
    """Of a field's index, None where it has none."""
    for index in description.get("indexes", ()):
        if index["field_name"] == vector_field:
            return str(index["params"].get("metric_type") or "") or None
    return None


def _as_described(value: Any) -> str:
    """A parameter as Milvus tells of it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _told_apart(mine: Any, theirs: Any) -> str:
    """Of two lists only the members that are not in both."""
    if isinstance(mine, list) and isinstance(theirs, list):
        mine, theirs = (
            [each for each in mine if each not in theirs],
            [each for each in theirs if each not in mine],
        )
    return f"{mine!r} became {theirs!r}"


@dataclass(frozen=True)
class IndexState:
    """How far the vector index of a collection is built, in rows.

    Segments that Milvus has merged or purged into a new one, which has no index yet, count as
    indexed if they were: it goes on searching them until the new one is ready. Their purged
    rows count as well, so ``indexed_rows`` may be more than ``total_rows``.
    """

    total_rows: int
    indexed_rows: int

    @property
    def unindexed_rows(self) -> int:
        """Rows that no index helps to find."""
        return max(0, self.total_rows - self.indexed_rows)


@dataclass(frozen=True)
class Hit:
    """One search result; a larger ``score`` is better for COSINE and IP, a smaller for L2."""

    key: Key
    score: float
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Embedded:
    """A provider's answer: ``vectors[i]`` belongs to the i-th text that was sent."""

    vectors: Vectors
    #: Tokens billed, from the provider's usage; an estimate where it reports none.
    tokens: int
