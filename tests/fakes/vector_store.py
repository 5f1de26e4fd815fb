"""A vector store in this process' memory, with the promises of the real one."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from migrations.adapters.milvus.filters import filled
from migrations.adapters.milvus.scan import Source, proven_pages
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
    once_each,
)
from migrations.model.errors import (
    CollectionNotFound,
    CollectionNotLoaded,
    DimensionMismatch,
    ForeignCollection,
    SearchRefused,
    VectorStoreRefused,
)
from migrations.model.search import Search
from migrations.ports.vector_store import Moment

KEY_FIELD, TEXT_FIELD, VECTOR_FIELD = "pk", "text", "vector"


class Row(NamedTuple):
    """Its fields without vectors, the embedded vector, and the others."""

    fields: dict[str, Any]
    vector: Vectors
    carried: dict[str, bytes]


@dataclass
class _Collection:
    schema: CollectionSchema
    owner_tag: str | None = None
    loaded: bool = True
    rows: dict[Key, Row] = field(default_factory=dict)
    #: Second rows of keys, which a real engine may have: writing or deleting the key ends it.
    doubles: dict[Key, Row] = field(default_factory=dict)
    #: As it was at the last flush: what survives a crash, and what a read sees that is
    #: not strong, while ``lagging``.
    flushed: dict[Key, Row] = field(default_factory=dict)
    #: The key that the next row gets, where Milvus gives them; no two collections share any.
    next_key: int = 0


class FakeVectorStore:
    """Safe for threads.

    ``unordered``: pages come from the engine in any order and from anywhere in
    the range, as milvus-lite's do. ``lagging``: reads that are not strong, or as
    of lately, see only what was there at the last flush. ``settled`` and
    ``flushed_before_read`` are what it answers when it is asked. ``shows_one``: of the rows
    of a key that stands twice it shows now this one and now that, as Milvus 2.3.5 does.
    """

    def __init__(self, *, unordered: bool = False, lagging: bool = False) -> None:
        #: Privileges that are not there, and Milvus' words.
        self.refused: dict[str, str] = {}
        self.flushed_before_read = False
        self.shows_one = False
        self.replica_groups = [""]
        self.settled = True
        self.unordered = unordered
        self.lagging = lagging
        #: How often each method was called.
        self.calls: Counter[str] = Counter()
        self._faults: dict[str, list[Exception | Callable[[], None]]] = {}
        self._collections: dict[str, _Collection] = {}
        self._aliases: dict[str, str] = {}
        self._random = random.Random(1)
        self._lock = RLock()

    # --- what only a fake can do ------------------------------------------------

    def fail(self, method: str, error: Exception, times: int = 1) -> None:
        """The next ``times`` calls of ``method`` raise ``error`` and do nothing."""
        self._faults.setdefault(method, []).extend([error] * times)

    def recover(self) -> None:
        """Forget what :meth:`fail` and :meth:`before` asked for."""
        self._faults.clear()

    def before(self, method: str, action: Callable[[], None]) -> None:
        """The next call of ``method`` first does ``action``: a write that falls in between."""
        self._faults.setdefault(method, []).append(action)

    def crash(self) -> None:
        """Forget what was acknowledged and not flushed."""
        with self._lock:
            for held in self._collections.values():
                held.rows = dict(held.flushed)

    def drop_alias(self, alias: str) -> None:
        """As its owner does; we never do."""
        with self._lock:
            self._aliases.pop(alias, None)

    def seed(
        self,
        collection: str,
        rows: Iterable[Mapping[str, Any]],
        dim: int,
        alias: str | None = None,
        **schema: Any,
    ) -> CollectionSchema:
        """Make a collection of rows like ``{"pk": "a", "text": "…", "title": "…"}``.

        A row may bring its ``vector``; without one it gets a random unit vector.
        ``schema`` replaces members of the CollectionSchema.
        """
        given = [dict(row) for row in rows]
        made = replace(
            _schema_of(collection, dim, isinstance(given[0][KEY_FIELD], str) if given else True),
            **schema,
        )
        with self._lock:
            self._collections[collection] = _Collection(made, next_key=self._first_key())
            if alias is not None:
                self._aliases[alias] = collection
        for row in given:
            self.put(collection, row)
        self.flush(collection)
        return made

    def put(
        self,
        collection: str,
        row: Mapping[str, Any],
        carried: Mapping[str, bytes] | None = None,
    ) -> None:
        """What a foreign writer does: one row, past everything of ours."""
        fields = dict(row)
        with self._lock:
            held = self._held(collection)
            schema = held.schema
            vector = fields.pop(schema.vector_field, None)
            if vector is None:
                vector = _unit(np.random.default_rng(len(held.rows)).normal(size=schema.dimension))
            vector = np.asarray(vector, dtype=np.float32)
            held.rows[fields[schema.key_field]] = Row(fields, vector, dict(carried or {}))
            held.doubles.pop(fields[schema.key_field], None)

    def double(self, collection: str, row: Mapping[str, Any]) -> None:
        """A row beside the one that is there: what an insert does, or a deletion that was lost."""
        fields = dict(row)
        with self._lock:
            held = self._held(collection)
            vector = np.asarray(fields.pop(held.schema.vector_field), dtype=np.float32)
            assert fields[held.schema.key_field] in held.rows
            held.doubles[fields[held.schema.key_field]] = Row(fields, vector, {})

    def reshape(self, collection: str, **members: Any) -> None:
        """The CollectionSchema has these members from now on."""
        with self._lock:
            held = self._held(collection)
            held.schema = replace(held.schema, **members)

    def alter(self, collection: str, **members: Any) -> None:
        """What its owner does in Milvus: the collection is described otherwise from now on."""
        described = {**self.describe(collection).description, **members}
        self.reshape(collection, description=described)

    def put_new(self, collection: str, row: Mapping[str, Any]) -> Key:
        """What a foreign writer does where Milvus gives the keys."""
        fields = dict(row)
        with self._lock:
            held = self._held(collection)
            return self._given(held, fields, fields.pop(held.schema.vector_field), {})

    def _first_key(self) -> int:
        return 100_000 * (len(self._collections) + 1)

    def remove(self, collection: str, key: Key) -> None:
        """What a foreign writer does."""
        with self._lock:
            self._held(collection).rows.pop(key, None)

    def names(self) -> list[str]:
        """Every collection there is."""
        return sorted(self._collections)

    # --- collections ------------------------------------------------------------

    def ping(self) -> str:
        with self._call("ping"):
            return "fake"

    def privileges(self) -> list[Privilege]:
        with self._call("privileges"):
            return [Privilege(name, self.refused.get(name)) for name in ("Insert", "Search")]

    def exists(self, collection: str) -> bool:
        with self._call("exists"):
            return self._physical(collection) in self._collections

    def describe(self, collection: str, vector_field: str = "") -> CollectionSchema:
        with self._call("describe"):
            schema = self._held(collection).schema
            return replace(schema, vector_field=vector_field or schema.vector_field)

    def create_like(
        self, source: CollectionSchema, name: str, dimension: int, owner_tag: str
    ) -> CollectionSchema:
        with self._call("create_like"):
            there = self._collections.get(self._physical(name))
            if there is None:
                made = replace(source, name=name, dimension=dimension)
                self._collections[name] = _Collection(
                    made, owner_tag, loaded=False, next_key=self._first_key()
                )
                return made
            if there.owner_tag != owner_tag or there.schema.name != name:
                raise ForeignCollection(f"'{name}' exists and is not {owner_tag!r}'s.")
            return there.schema

    def owner_tag(self, collection: str) -> str | None:
        with self._call("owner_tag"):
            return self._held(collection).owner_tag

    def drop(self, collection: str) -> None:
        with self._call("drop"):
            if collection in self._aliases:
                raise VectorStoreRefused(f"'{collection}' is an alias.")
            self._collections.pop(collection, None)

    def is_loaded(self, collection: str) -> bool:
        with self._call("is_loaded"):
            return self._held(collection).loaded

    def replicas(self, collection: str) -> list[str]:
        with self._call("replicas"):
            self._held(collection)
            return list(self.replica_groups)

    def begin_loading(self, collection: str) -> None:
        with self._call("begin_loading"):
            self._held(collection).loaded = True

    def load(self, collection: str) -> None:
        with self._call("load"):
            self._held(collection).loaded = True

    def release(self, collection: str) -> None:
        with self._call("release"):
            self._held(collection).loaded = False

    def flush(self, collection: str) -> None:
        with self._call("flush"):
            held = self._held(collection)
            held.flushed = dict(held.rows)

    def is_settled(self, collection: str) -> bool:
        with self._call("is_settled"):
            return self.settled

    def is_flushed_before_read(self) -> bool:
        return self.flushed_before_read

    def index_state(self, collection: str) -> IndexState:
        with self._call("index_state"):
            rows = len(self._held(collection).rows)
            return IndexState(total_rows=rows, indexed_rows=rows)

    # --- aliases ----------------------------------------------------------------

    def resolve_alias(self, alias: str) -> str | None:
        with self._call("resolve_alias"):
            return self._aliases.get(alias)

    def point_alias(self, alias: str, collection: str) -> None:
        with self._call("point_alias"):
            if alias in self._collections:
                raise VectorStoreRefused(f"'{alias}' is a collection.")
            self._aliases[alias] = self._held(collection).schema.name

    def rename(self, collection: str, name: str) -> None:
        with self._call("rename"):
            held = self._collections.get(collection)
            if held is None:
                raise CollectionNotFound(f"Milvus has no collection '{collection}'.")
            if name in self._collections or name in self._aliases:
                raise VectorStoreRefused(f"'{name}' is taken.")
            self._collections[name] = self._collections.pop(collection)
            held.schema = replace(held.schema, name=name)
            for alias, target in self._aliases.items():
                self._aliases[alias] = name if target == collection else target

    def aliases_of(self, collection: str) -> list[str]:
        with self._call("aliases_of"):
            name = self._held(collection).schema.name
            return sorted(alias for alias, target in self._aliases.items() if target == name)

    # --- reading ----------------------------------------------------------------

    def count(
        self, collection: str, within: KeyRange = ALL_KEYS, *, as_of: Moment | None = None
    ) -> int:
        as_of = self._said_or_now(as_of)
        with self._call("count"):
            return self._counted(collection, within, as_of)

    def _counted(self, collection: str, within: KeyRange, as_of: Moment) -> int:
        doubles = self._held(collection).doubles
        return sum(key in within for key in [*self._seen(collection, as_of), *doubles])

    def moment(self) -> Moment:
        with self._call("moment"):
            return {}

    def _said_or_now(self, as_of: Moment | None) -> Moment:
        """A read that brings no moment asks for one, as the adapter's does."""
        return self.moment() if as_of is None else as_of

    def lately(self) -> Moment:
        with self._call("lately"):
            return {"lately": True}

    def scan_keys(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 10_000,
        as_of: Moment | None = None,
    ) -> Iterator[list[Key]]:
        seeing = self._said_or_now(as_of)
        for page in self._pages("scan_keys", schema, within, page_size, seeing):
            yield list(dict.fromkeys(chunk.key for chunk in page))

    def scan(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        seeing = self._said_or_now(as_of)
        pages = self._pages("scan", schema, within, page_size, seeing, with_vectors=with_vectors)
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
        seeing = self._said_or_now(as_of)
        return self._pages("scan", schema, within, page_size, seeing, with_vectors=with_vectors)

    def read(
        self,
        schema: CollectionSchema,
        within: KeyRange,
        *,
        with_vectors: bool = False,
        strong: bool = False,
    ) -> list[Chunk]:
        with self._call("read"):
            held = self._loaded(schema.name)
            seen = held.flushed if self.lagging and not strong else held.rows
            keys = _in_order(key for key in seen if key in within)
            return [_chunk(schema, seen[key], with_vectors) for key in keys]

    def fetch(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        found = self.fetch_rows(schema, keys, with_vectors=with_vectors, as_of=as_of)
        return [replace(chunk, rows=1) for chunk in once_each(found)]

    def fetch_rows(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        as_of = self._said_or_now(as_of)
        with self._call("fetch"):
            rows = self._seen(schema.name, as_of)
            shown = self._shown(schema, rows, _in_order(rows.keys() & set(keys)), with_vectors)
            counts = Counter(chunk.key for chunk in shown)
            hidden = [c for c in shown if counts[c.key] < self._standing(schema.name, c.key)]
            return sorted([*shown, *hidden], key=lambda chunk: chunk.key)

    def _shown(
        self, schema: CollectionSchema, rows: dict[Key, Row], keys: Sequence[Key], vectors: bool
    ) -> list[Chunk]:
        """Of a key that stands twice both rows, or any one of them."""
        doubles = self._held(schema.name).doubles
        return [
            _chunk(schema, held[key], vectors)
            for key in keys
            for held in self._chosen([rows, doubles] if key in doubles else [rows])
        ]

    def _chosen(self, holders: list[dict[Key, Row]]) -> list[dict[Key, Row]]:
        return [self._random.choice(holders)] if self.shows_one else holders

    def _standing(self, collection: str, key: Key) -> int:
        return 1 + (key in self._held(collection).doubles)

    def search(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        *,
        limit: int,
        output_fields: Sequence[str],
        as_of: Moment | None = None,
    ) -> list[list[Hit]]:
        as_of = self._said_or_now(as_of)
        with self._call("search"):
            rows = list(self._seen(schema.name, as_of).values())
            return [_nearest(schema, rows, vector, limit, output_fields) for vector in vectors]

    def find(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        search: Search,
        output_fields: Sequence[str],
    ) -> list[list[Hit]]:
        """A filter is a Python expression over the fields; there are no partitions, no words."""
        condition = filled(search.filter, search.filter_params)
        with self._call("find"):
            held = self._loaded(schema.name)
            if search.fusion is not None or search.partitions:
                raise SearchRefused("The fake has neither BM25 nor partitions.")
            if vectors.shape[1] != held.schema.dimension:
                raise VectorStoreRefused(f"{vectors.shape} in {held.schema.dimension} dimensions")
            rows = [row for row in held.rows.values() if _holds(condition, row.fields)]
            deepest = search.offset + search.limit
            return [
                _nearest(schema, rows, vector, deepest, output_fields)[search.offset :]
                for vector in vectors
            ]

    def _pages(
        self,
        method: str,
        schema: CollectionSchema,
        within: KeyRange,
        page_size: int,
        as_of: Moment,
        *,
        with_vectors: bool = False,
    ) -> Iterator[list[Chunk]]:
        source = Source(
            partial(self._page, method, schema, as_of, with_vectors),
            lambda span: self._counted(schema.name, span, as_of),
            lambda keys: sum(self._standing(schema.name, key) for key in keys),
            lambda chunk: chunk.key,
        )
        return proven_pages(source, within, page_size)

    def _page(
        self,
        method: str,
        schema: CollectionSchema,
        as_of: Moment,
        with_vectors: bool,
        span: KeyRange,
        size: int,
    ) -> list[Chunk]:
        with self._call(method):
            rows = self._seen(schema.name, as_of)
            keys = _in_order(key for key in rows if key in span)
            if self.unordered:
                self._random.shuffle(keys)
            return self._shown(schema, rows, keys, with_vectors)[:size]

    def _seen(self, collection: str, as_of: Moment) -> dict[Key, Row]:
        held = self._loaded(collection)
        return held.flushed if self.lagging and "lately" in as_of else held.rows

    # --- writing ----------------------------------------------------------------

    def upsert(self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        with self._call("upsert"):
            if schema.key_is_given:
                raise VectorStoreRefused("Milvus gives the keys.")
            if len({chunk.key for chunk in chunks}) != len(chunks):
                raise ValueError("The keys of one upsert must be distinct.")
            if vectors.shape != (len(chunks), schema.dimension):
                raise DimensionMismatch(f"{vectors.shape} into dimension {schema.dimension}")
            held = self._held(schema.name)
            for chunk, vector in zip(chunks, vectors, strict=True):
                fields = {**copy.deepcopy(dict(chunk.fields)), schema.key_field: chunk.key}
                vector = np.array(vector, dtype=np.float32)
                held.rows[chunk.key] = Row(fields, vector, dict(chunk.carried))
                held.doubles.pop(chunk.key, None)

    def insert(
        self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors
    ) -> list[Key]:
        with self._call("insert"):
            held = self._held(schema.name)
            return [
                self._given(held, dict(chunk.fields), vector, dict(chunk.carried))
                for chunk, vector in zip(chunks, vectors, strict=True)
            ]

    def _given(
        self, held: _Collection, fields: dict[str, Any], vector: Any, carried: dict[str, bytes]
    ) -> Key:
        assert held.schema.key_is_given
        key = held.next_key
        held.next_key += 1
        fields = {**copy.deepcopy(fields), held.schema.key_field: key}
        held.rows[key] = Row(fields, np.array(vector, dtype=np.float32), carried)
        return key

    def delete(self, schema: CollectionSchema, keys: Sequence[Key]) -> None:
        with self._call("delete"):
            held = self._held(schema.name)
            for key in keys:
                held.rows.pop(key, None)
                held.doubles.pop(key, None)

    # --- within -----------------------------------------------------------------

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        self.calls[method] += 1
        waiting = self._faults.get(method)
        fault = waiting.pop(0) if waiting else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            fault()
        with self._lock:
            yield

    def _physical(self, name: str) -> str:
        return self._aliases.get(name, name)

    def _held(self, name: str) -> _Collection:
        try:
            return self._collections[self._physical(name)]
        except KeyError:
            raise CollectionNotFound(f"Milvus has no collection or alias '{name}'.") from None

    def _loaded(self, name: str) -> _Collection:
        held = self._held(name)
        if not held.loaded:
            raise CollectionNotLoaded(f"'{name}' is not loaded.", collection=name)
        return held


def _schema_of(name: str, dimension: int, key_is_string: bool) -> CollectionSchema:
    return CollectionSchema(
        name=name,
        key_field=KEY_FIELD,
        key_is_string=key_is_string,
        vector_field=VECTOR_FIELD,
        dimension=dimension,
        metric="COSINE",
        text_candidates=(TEXT_FIELD,),
        float_vectors=(VECTOR_FIELD,),
        description={
            "enable_dynamic_field": True,
            "fields": [{"name": name} for name in (KEY_FIELD, TEXT_FIELD, VECTOR_FIELD)],
        },
    )


def _in_order(keys: Iterable[Key]) -> list[Key]:
    return sorted(keys)


def _chunk(schema: CollectionSchema, row: Row, with_vectors: bool) -> Chunk:
    return Chunk(
        key=row.fields[schema.key_field],
        fields=copy.deepcopy(row.fields),
        vector=row.vector.copy() if with_vectors else None,
        carried=dict(row.carried),
    )


def _nearest(
    schema: CollectionSchema, rows: Sequence[Row], vector: Any, limit: int, fields: Sequence[str]
) -> list[Hit]:
    every = "*" in fields
    scored = sorted(
        ((_score(schema.metric, vector, row.vector), row.fields) for row in rows),
        key=lambda pair: pair[0],
        reverse=schema.metric != "L2",
    )
    return [
        Hit(
            row[schema.key_field],
            score,
            {name: value for name, value in row.items() if every or name in fields},
        )
        for score, row in scored[:limit]
    ]


def _holds(condition: str, fields: Mapping[str, Any]) -> bool:
    try:
        return not condition or bool(eval(condition, {"true": True, "false": False}, dict(fields)))  # noqa: S307
    except (NameError, SyntaxError, TypeError) as error:
        raise SearchRefused(f"The fake refuses the filter: {error}") from error


def _score(metric: str, mine: Any, theirs: Any) -> float:
    if metric == "L2":
        return float(np.sum((mine - theirs) ** 2))
    product = float(np.dot(mine, theirs))
    if metric == "IP":
        return product
    return product / (float(np.linalg.norm(mine) * np.linalg.norm(theirs)) or 1.0)


def _unit(vector: Any) -> Any:
    return vector / (np.linalg.norm(vector) or 1.0)
