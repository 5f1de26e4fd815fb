"""What the contract suite needs of an engine beside the port: collections somebody else made."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import uuid4

import numpy as np
from pymilvus import DataType, MilvusClient

from migrations.adapters.milvus import MilvusVectorStore
from migrations.adapters.milvus.client import CHANNEL_OPTIONS
from migrations.model.chunks import Chunk, CollectionSchema, Key, Vectors
from migrations.model.collection_names import apart, qualified
from migrations.ports.vector_store import VectorStore
from tests.fakes.vector_store import FakeVectorStore

DIMENSION = 8
#: Columns as (name, type, options of add_field).
Column = tuple[str, DataType, dict[str, Any]]
SCALARS: list[Column] = [
    ("i8", DataType.INT8, {}),
    ("i16", DataType.INT16, {}),
    ("i32", DataType.INT32, {}),
    ("i64", DataType.INT64, {}),
    ("flag", DataType.BOOL, {}),
    ("single", DataType.FLOAT, {}),
    ("double", DataType.DOUBLE, {}),
    ("meta", DataType.JSON, {}),
    ("numbers", DataType.ARRAY, {"element_type": DataType.INT64, "max_capacity": 8}),
    ("bytes", DataType.ARRAY, {"element_type": DataType.INT8, "max_capacity": 8}),
    ("singles", DataType.ARRAY, {"element_type": DataType.FLOAT, "max_capacity": 8}),
    ("flags", DataType.ARRAY, {"element_type": DataType.BOOL, "max_capacity": 8}),
    (
        "words",
        DataType.ARRAY,
        {"element_type": DataType.VARCHAR, "max_capacity": 8, "max_length": 64},
    ),
]
FULL_ROW = {
    "i8": -128,
    "i16": -32768,
    "i32": 2**31 - 1,
    "i64": -(2**53) - 1,
    "flag": True,
    "single": 0.1,
    "double": 0.1,
    "meta": {"deep": [1, {"a": None, "b": 'é"\\\n'}], "number": 1.5, "empty": {}},
    "numbers": [1, -(2**62)],
    "bytes": [-1, 127],
    "singles": [0.1, -2.5],
    "flags": [True, False],
    "words": ["é", 'a"b', ""],
}


class Supply:
    """Empty collections that are made before they are asked for, and dropped when nobody waits.

    Milvus takes seconds for one, and no longer for several at once.
    """

    def __init__(self, store: VectorStore, client: MilvusClient, database: str = "") -> None:
        self._store, self._client, self._database = store, client, database
        self._threads = ThreadPoolExecutor(8)
        self._ready: dict[bool, deque[Future[str]]] = {True: deque(), False: deque()}
        self._dropped: list[Future[None]] = []

    def take(self, *, strings: bool) -> str:
        ready = self._ready[strings]
        while len(ready) < (5 if strings else 2):
            ready.append(self._threads.submit(self._make, strings))
        return ready.popleft().result()

    def _make(self, strings: bool) -> str:
        name = qualified(f"c_{uuid4().hex[:12]}", self._database)
        make_collection(self._client, name, strings)
        return name

    def drop(self, names: Sequence[str]) -> None:
        """Aliases and collections, in the background."""
        self._dropped.append(
            self._threads.submit(drop_all, self._store, list(names), self._drop_alias)
        )

    def _drop_alias(self, alias: str) -> None:
        self._client.drop_alias(alias, timeout=60)

    def close(self) -> None:
        """What is ready goes with the server. Raises what went wrong in dropping."""
        self._threads.shutdown(cancel_futures=True)
        for dropped in self._dropped:
            if not dropped.cancelled():
                dropped.result()


@dataclass
class World:
    """One engine under test. ``client`` is None for the fake."""

    store: VectorStore
    client: MilvusClient | None = None
    #: Only where making a collection takes long.
    supply: Supply | None = None
    made: list[str] = field(default_factory=list)
    #: In which all of it is; "" for the one of the store.
    database: str = ""

    def name(self) -> str:
        """A collection or alias name of this test's own, dropped after it."""
        self.made.append(qualified(f"c_{uuid4().hex[:12]}", self.database))
        return self.made[-1]

    def collection(
        self, *, strings: bool = True, columns: Sequence[Column] = (), **options: Any
    ) -> CollectionSchema:
        """An empty collection with a key, a text and a vector, made past the port."""
        if self.supply is not None and not columns and not options:
            self.made.append(self.supply.take(strings=strings))
            return self.store.describe(self.made[-1])
        name = self.name()
        if self.client is None:
            assert isinstance(self.store, FakeVectorStore)
            self.store.seed(name, [{"pk": "" if strings else 0}], DIMENSION)
            self.store.remove(name, "" if strings else 0)
        else:
            make_collection(self.client, name, strings, columns, **options)
        return self.store.describe(name)

    def drop_alias(self, alias: str) -> None:
        """Past the port: an alias is its owner's, and never dropped by us."""
        if self.client is None:
            assert isinstance(self.store, FakeVectorStore)
            self.store.drop_alias(alias)
        else:
            self.client.drop_alias(alias, timeout=60)

    def clean(self) -> None:
        if self.supply is not None:
            self.supply.drop(self.made)
        else:
            drop_all(self.store, self.made, self.drop_alias)
        self.made.clear()


def drop_all(store: VectorStore, names: Sequence[str], drop_alias: Callable[[str], None]) -> None:
    """Whatever has one of these names."""
    for name in names:
        drop_alias(name)
    for name in names:
        store.drop(name)


def make_collection(
    client: MilvusClient,
    name: str,
    strings: bool = True,
    columns: Sequence[Column] = (),
    *,
    dynamic: bool = True,
    metric: str = "COSINE",
    **options: Any,
) -> None:
    schema = client.create_schema(enable_dynamic_field=dynamic, description="what users wrote")
    if strings:
        schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=512)
    else:
        schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=4096)
    for column, kind, params in columns:
        schema.add_field(column, kind, **params)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
    indexes = client.prepare_index_params()
    indexes.add_index(
        "vector", index_type="HNSW", metric_type=metric, params={"M": 8, "efConstruction": 64}
    )
    client.create_collection(name, schema=schema, index_params=indexes, timeout=60, **options)


def chunk(key: Key, text: str = "a text", **fields: Any) -> Chunk:
    return Chunk(key=key, fields={"pk": key, "text": text, **fields})


def vectors(rows: int, dimension: int = DIMENSION, seed: int = 7) -> Vectors:
    """Unit vectors, shape (rows, dimension)."""
    made = np.random.default_rng(seed).normal(size=(rows, dimension))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def write(store: VectorStore, schema: CollectionSchema, chunks: Sequence[Chunk]) -> Vectors:
    written = vectors(len(chunks), schema.dimension)
    store.upsert(schema, chunks, written)
    return written


def wait_until(condition: Callable[[], bool], pause: float = 0.2, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(pause)


def world_at(url: str, database: str = "") -> World:
    """An engine at work, reached by the store and past it; a named database is made."""
    client = MilvusClient(uri=url, timeout=30, dedicated=True, grpc_options=CHANNEL_OPTIONS)
    if database:
        client.create_database(database)
        client.close()
        client = cast("MilvusClient", InDatabase(url, database))
    return World(MilvusVectorStore(url), client, database=database)


class InDatabase:
    """A client in a database, for names that are qualified by it."""

    def __init__(self, url: str, database: str) -> None:
        self.database = database
        self._client = MilvusClient(
            uri=url, db_name=database, timeout=30, dedicated=True, grpc_options=CHANNEL_OPTIONS
        )

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            named = {n: self._bare(o) if n.endswith("_name") else o for n, o in options.items()}
            return getattr(self._client, method)(*map(self._bare, args), **named)

        return call

    def _bare(self, given: Any) -> Any:
        if not isinstance(given, str) or not given.startswith(f"{self.database}."):
            return given
        return apart(given)[1]


#: The fixtures that give the session's engines.
SHARED = {
    "milvus-lite": "on_lite",
    "milvus-standalone": "on_standalone",
    "milvus-standalone-named": "on_standalone_named",
}


def open_world(kind: str, fixture: Callable[[str], Any]) -> World:
    """A fake of one's own, or the session's engine; ``fixture`` gives one by its name."""
    if kind.startswith("fake"):
        return World(FakeVectorStore(unordered=kind == "fake-unordered"))
    return replace(fixture(SHARED[kind]), made=[])
