"""The vector store's port on Milvus."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from pymilvus.client.types import LoadState

from migrations.adapters.milvus import (
    creation,
    faults,
    filters,
    privileges,
    rows,
    searching,
    writing,
)
from migrations.adapters.milvus.client import Connection
from migrations.adapters.milvus.scan import Source, as_often_as_they_stand, proven_pages
from migrations.adapters.milvus.schema import collection_schema, owner_of
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
from migrations.model.collection_names import database_of, qualified
from migrations.model.errors import (
    AnswerTooLarge,
    CollectionNotFound,
    ForeignCollection,
    SchemaNotReproduced,
    VectorStoreRefused,
)
from migrations.model.search import Search
from migrations.ports.vector_store import Moment

#: Milvus refuses a larger offset + limit.
LARGEST_PAGE = 16_384
#: A batch's range holds at most batch_size keys when it is planned; this leaves
#: room for what was written into it since, and more than this is read in pages.
BATCH_PAGE = 4_096
DEFAULT_RESOURCE_GROUP = "__default_resource_group"
#: As of a few seconds ago at the latest, without waiting.
BOUNDED = {"consistency_level": "Bounded"}
#: Older than the clock's last tick (0.2 s) on a node that lags, too.
LATELY_SECONDS = 2
#: Milvus' timestamps are milliseconds, with a counter in their lowest bits.
TIMESTAMP_LOGICAL_BITS = 18
#: Loading and flushing wait for work on every row, so they may take this many timeouts.
SLOW = 10
#: A refused creation is blamed on a rival when the collection appears within this.
APPEARANCE_SECONDS = 2.0
APPEARANCE_CHECKS = 10


class MilvusVectorStore:
    """Implements :class:`migrations.ports.vector_store.VectorStore`.

    Threads and forks may share it.

    ``timeout_seconds`` bounds every call; loading and flushing take up to ten times it.
    """

    def __init__(
        self, uri: str, token: str = "", database: str = "", timeout_seconds: float = 30.0
    ) -> None:
        self._connection = Connection(uri, token, database, timeout_seconds)
        self._call = self._connection.call
        self._slow_seconds = SLOW * timeout_seconds

    # --- collections ------------------------------------------------------------

    def ping(self) -> str:
        return str(self._call("get_server_version"))

    def privileges(self) -> list[Privilege]:
        return privileges.tried(self._call)

    def exists(self, collection: str) -> bool:
        try:
            return bool(self._call("has_collection", collection))
        except CollectionNotFound:  # nor its database
            return False

    def describe(self, collection: str, vector_field: str = "") -> CollectionSchema:
        described = self._described(collection)
        indexes = self._indexes(described["collection_name"])
        return collection_schema(described, indexes, vector_field)

    def _described(self, collection: str) -> Mapping[str, Any]:
        """With names as the domain has them, those of the collection and of its aliases."""
        described = dict(self._call("describe_collection", collection))
        database = database_of(collection)
        described["collection_name"] = qualified(described["collection_name"], database)
        aliases = described.get("aliases") or ()
        return {**described, "aliases": [qualified(str(alias), database) for alias in aliases]}

    def _indexes(self, collection: str) -> list[Mapping[str, Any]]:
        names = self._call("list_indexes", collection)
        found = (self._call("describe_index", collection, name) for name in names)
        return [index for index in found if index is not None]

    def owner_tag(self, collection: str) -> str | None:
        return owner_of(self._described(collection))

    def create_like(
        self, source: CollectionSchema, name: str, dimension: int, owner_tag: str
    ) -> CollectionSchema:
        if not self._adoptable(name, owner_tag):
            self._create(source, name, dimension, owner_tag)
        self._index_like(source, name)
        made = self.describe(name, source.vector_field)
        differences = source.differences(made)
        if made.dimension != dimension:
            differences.append(f"dimension: {dimension} became {made.dimension}")
        if differences:
            raise SchemaNotReproduced(
                f"'{name}' is not like '{source.name}': {'; '.join(differences)}",
                differences=differences,
            )
        return made

    def _adoptable(self, name: str, owner_tag: str) -> bool:
        """Whether ``name`` is there and is the caller's.

        Raises:
            ForeignCollection: it is there and is somebody else's, or is an alias.
        """
        try:
            described = self._described(name)
        except CollectionNotFound:
            return False
        if owner_of(described) == owner_tag and described["collection_name"] == name:
            return True
        raise ForeignCollection(f"'{name}' exists in Milvus and was not made for this bot.")

    def _create(self, source: CollectionSchema, name: str, dimension: int, owner_tag: str) -> None:
        request = creation.collection_request(source, dimension, owner_tag)
        # Milvus answers a second creation like the first when all is equal, the
        # owner's property included, and refuses it otherwise; milvus-lite always
        # refuses it.
        try:
            self._call("create_collection", name, **request)
        except VectorStoreRefused:
            if not self._appears(name, owner_tag):
                raise

    def _appears(self, name: str, owner_tag: str) -> bool:
        """Whether somebody else was first, whose collection may not be visible at once."""
        for _ in range(APPEARANCE_CHECKS):
            if self._adoptable(name, owner_tag):
                return True
            time.sleep(APPEARANCE_SECONDS / APPEARANCE_CHECKS)
        return False

    def _index_like(self, source: CollectionSchema, name: str) -> None:
        """Make the indexes that are not there yet; an earlier attempt may have died half-way."""
        for index in source.description["indexes"]:
            if self._lacks_index(name, index):
                try:
                    # Nothing is in it yet: there is nothing to build that could be waited for.
                    self._call("create_index", name, creation.index_request(index), sync=False)
                except VectorStoreRefused:
                    if self._lacks_index(name, index):
                        raise

    def _lacks_index(self, name: str, index: Mapping[str, Any]) -> bool:
        return all(index["index_name"] != there["index_name"] for there in self._indexes(name))

    def drop(self, collection: str) -> None:
        try:
            physical = self._described(collection)["collection_name"]
        except CollectionNotFound:
            return
        if physical != collection:
            # milvus-lite would drop what the alias points to.
            raise VectorStoreRefused(f"'{collection}' is an alias of '{physical}'; drop that.")
        self._call("drop_collection", collection)

    def is_loaded(self, collection: str) -> bool:
        state = self._call("get_load_state", collection)["state"]
        if state == LoadState.NotExist:
            raise CollectionNotFound(f"Milvus has no collection or alias '{collection}'.")
        return bool(state == LoadState.Loaded)

    def replicas(self, collection: str) -> list[str]:
        if self._connection.is_milvus_lite():
            self._require(collection)
            return [""]
        told = self._call("describe_replica", collection)
        groups = [str(replica.resource_group) for replica in told]
        return ["" if group == DEFAULT_RESOURCE_GROUP else group for group in groups]

    def begin_loading(self, collection: str) -> None:
        self._call("load_collection", collection, _async=True)

    def load(self, collection: str) -> None:
        self._call("load_collection", collection, timeout=self._slow_seconds)

    def release(self, collection: str) -> None:
        self._require(collection)
        self._call("release_collection", collection, timeout=self._slow_seconds)

    def flush(self, collection: str) -> None:
        # What Milvus has acknowledged is in its log, and that is not enough: milvus-lite
        # 3.2.2 has lost up to 340 of 400 such rows when it was killed, and Milvus 2.3.5
        # whole collections when it was, with more of them than it has physical channels
        # (docs/decisions.md).
        self._require(collection)
        self._call("flush", collection, timeout=self._slow_seconds)

    def is_flushed_before_read(self) -> bool:
        # milvus-lite 3.2.2 makes Python lists of all vectors that are not flushed, for each
        # query and each question about the index.
        return self._connection.is_milvus_lite()

    def is_settled(self, collection: str) -> bool:
        if self._connection.is_milvus_lite():
            return True
        try:
            stored = self._call("list_persistent_segments", collection)
        except VectorStoreRefused:  # it met a segment that is just being removed
            return False
        loaded = self._call("list_loaded_segments", collection)
        return {one.segment_id for one in loaded} <= {one.segment_id for one in stored}

    def _require(self, collection: str) -> None:
        """milvus-lite answers some calls on a collection that is gone as if all were well."""
        if not self.exists(collection):
            raise CollectionNotFound(f"Milvus has no collection or alias '{collection}'.")

    def index_state(self, collection: str) -> IndexState:
        described = self._described(collection)
        vectors = {f["name"] for f in described["fields"] if "VECTOR" in f["type"].name}
        states = [
            # Not pending_index_rows: those of a segment made by compaction are in it, too.
            IndexState(int(index["total_rows"]), int(index["indexed_rows"]))
            for index in self._indexes(described["collection_name"])
            if index["field_name"] in vectors
        ]
        return max(states, key=lambda state: state.unindexed_rows, default=IndexState(0, 0))

    # --- aliases ----------------------------------------------------------------

    def resolve_alias(self, alias: str) -> str | None:
        # Not describe_alias: Milvus 2.3.5 looks for it in the default database, whichever is ours.
        try:
            physical = str(self._described(alias)["collection_name"])
        except CollectionNotFound:
            return None
        return physical if physical != alias else None

    def point_alias(self, alias: str, collection: str) -> None:
        if self._connection.is_milvus_lite():  # Milvus itself refuses
            self._require(collection)
        try:
            self._alter_or_create_alias(alias, collection)
        except VectorStoreRefused:
            # Somebody else may have done it at that moment: the watchdog mends the alias that
            # a registration is about to make. milvus-lite 3.2.2 has one file for two writers.
            if self.resolve_alias(alias) != collection:
                raise

    def _alter_or_create_alias(self, alias: str, collection: str) -> None:
        try:
            self._call("alter_alias", collection, alias)
        except (CollectionNotFound, VectorStoreRefused) as error:
            if faults.code_of(error.__cause__) not in faults.NO_SUCH_ALIAS:
                raise
            self._call("create_alias", collection, alias)

    def drop_alias(self, alias: str) -> None:
        if self.resolve_alias(alias) is not None:
            self._call("drop_alias", alias)

    def rename(self, collection: str, name: str) -> None:
        self._require(collection)
        was_loaded = self.is_loaded(collection)
        self._call("rename_collection", collection, name)
        if was_loaded and self._connection.is_milvus_lite():  # it has released it
            self.load(name)

    def aliases_of(self, collection: str) -> list[str]:
        # list_aliases of Milvus 2.3.5 looks in the default database, whichever is ours;
        # describe_collection of milvus-lite 3.2.2 tells none anywhere.
        described = self._described(collection)
        if not self._connection.is_milvus_lite():
            return sorted(described["aliases"])
        database = database_of(collection)
        told = self._call("list_aliases", collection)["aliases"]
        return sorted(qualified(str(alias), database) for alias in told)

    # --- reading ----------------------------------------------------------------

    def moment(self) -> Moment:
        """Options of a read that sees every write acknowledged before this call."""
        return self._seconds_ago(0)

    def lately(self) -> Moment:
        """The same of a while ago, which a node that answers has nearly always seen by now."""
        return self._seconds_ago(LATELY_SECONDS)

    def _seconds_ago(self, seconds: int) -> Moment:
        now = self._connection.timestamp()
        if now is None:
            return {"consistency_level": "Strong"}
        seen = now - (seconds * 1000 << TIMESTAMP_LOGICAL_BITS)
        return {"consistency_level": "Customized", "guarantee_timestamp": seen}

    def _query(
        self,
        collection: str,
        filter_: str,
        fields: list[str],
        seeing: Moment,
        **more: Any,
    ) -> Any:
        return self._call(
            "query", collection, filter=filter_, output_fields=fields, **seeing, **more
        )

    def count(
        self, collection: str, within: KeyRange = ALL_KEYS, *, as_of: Moment | None = None
    ) -> int:
        fields = self._described(collection)["fields"]
        key = next(field for field in fields if field.get("is_primary"))
        condition = filters.in_range(
            key["name"], within, key_is_string=key["type"].name == "VARCHAR"
        )
        return self._count(collection, condition, self._said_or_now(as_of))

    def _count(self, collection: str, condition: str, seeing: Moment) -> int:
        return int(self._query(collection, condition, ["count(*)"], seeing)[0]["count(*)"])

    def _said_or_now(self, as_of: Moment | None) -> Moment:
        return self.moment() if as_of is None else as_of

    def _count_of(self, schema: CollectionSchema, seeing: Moment, within: KeyRange) -> int:
        condition = filters.in_range(schema.key_field, within, key_is_string=schema.key_is_string)
        return self._count(schema.name, condition, seeing)

    def _count_keys(self, schema: CollectionSchema, seeing: Moment, keys: Sequence[Key]) -> int:
        return sum(
            self._count(schema.name, condition, seeing)
            for condition in filters.each_of(schema.key_field, keys)
        )

    def _page(
        self,
        schema: CollectionSchema,
        fields: list[str],
        within: KeyRange,
        size: int,
        seeing: Moment,
    ) -> Any:
        condition = filters.in_range(schema.key_field, within, key_is_string=schema.key_is_string)
        options: dict[str, Any] = {"limit": size}
        if self._connection.is_milvus_lite():
            # It then sorts the range before it cuts it to the limit. Only there:
            # pymilvus drops the consistency level of such a request, and a real
            # server would answer from the past. A string, because pymilvus puts
            # it into the request as it is.
            options["iterator"] = "True"
        return self._query(schema.name, condition, fields, seeing, **options)

    def scan_keys(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 10_000,
        as_of: Moment | None = None,
    ) -> Iterator[list[Key]]:
        seeing = self._said_or_now(as_of)

        def read(span: KeyRange, size: int) -> list[Key]:
            page = self._page(schema, [schema.key_field], span, size, seeing)
            return [row[schema.key_field] for row in page]

        source = Source(
            read,
            partial(self._count_of, schema, seeing),
            partial(self._count_keys, schema, seeing),
            lambda key: key,
        )
        return map(rows.distinct, proven_pages(source, within, min(page_size, LARGEST_PAGE)))

    def scan(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        pages = self.scan_rows(
            schema, within, page_size=page_size, with_vectors=with_vectors, as_of=as_of
        )
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
        source = Source(
            partial(self._read_page, schema, seeing=seeing, with_vectors=with_vectors),
            partial(self._count_of, schema, seeing),
            partial(self._count_keys, schema, seeing),
            lambda chunk: chunk.key,
        )
        return proven_pages(source, within, min(page_size, LARGEST_PAGE))

    def _read_page(
        self,
        schema: CollectionSchema,
        within: KeyRange,
        size: int,
        *,
        seeing: Moment,
        with_vectors: bool,
    ) -> list[Chunk]:
        fields = rows.output_fields(schema, with_vectors=with_vectors)
        page = self._page(schema, fields, within, size, seeing)
        return rows.chunks_from(schema, page, with_vectors=with_vectors)

    def read(
        self,
        schema: CollectionSchema,
        within: KeyRange,
        *,
        with_vectors: bool = False,
        strong: bool = False,
    ) -> list[Chunk]:
        if not strong:
            # A strongly consistent read waits for the server's next time tick
            # (0.2 s); what this one misses is found by the catch-up passes, which
            # are proven.
            with suppress(AnswerTooLarge):
                chunks = self._read_page(
                    schema, within, BATCH_PAGE, seeing=BOUNDED, with_vectors=with_vectors
                )
                if len({chunk.key for chunk in chunks}) == len(chunks) < BATCH_PAGE:
                    return rows.in_key_order(chunks)
        pages = self.scan(schema, within, page_size=BATCH_PAGE, with_vectors=with_vectors)
        return [chunk for page in pages for chunk in page]

    def fetch(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        shown = self._shown(schema, keys, with_vectors, self._said_or_now(as_of))
        return rows.in_key_order(once_each(shown))

    def fetch_rows(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        seeing = self._said_or_now(as_of)
        count_keys = partial(self._count_keys, schema, seeing)
        shown = self._shown(schema, keys, with_vectors, seeing)
        counted = count_keys(rows.distinct([chunk.key for chunk in shown])) if shown else 0
        standing = as_often_as_they_stand(count_keys, shown, lambda chunk: chunk.key, counted)
        return rows.in_key_order(standing)

    def _shown(
        self, schema: CollectionSchema, keys: Sequence[Key], with_vectors: bool, seeing: Moment
    ) -> list[Chunk]:
        fields = rows.output_fields(schema, with_vectors=with_vectors)
        return [
            chunk
            for part in _parts(rows.distinct(keys))
            for page in self._query_keys(schema, part, fields, seeing)
            for chunk in rows.chunks_from(schema, page, with_vectors=with_vectors)
        ]

    def _query_keys(
        self, schema: CollectionSchema, keys: Sequence[Key], fields: list[str], seeing: Moment
    ) -> list[Any]:
        """Pages of their rows: one, or halves when they do not fit into one message."""
        condition = filters.one_of(schema.key_field, keys)
        try:
            return [self._query(schema.name, condition, fields, seeing)]
        except AnswerTooLarge:
            if len(keys) == 1:
                raise
        middle = len(keys) // 2
        halves = (keys[:middle], keys[middle:])
        return [page for half in halves for page in self._query_keys(schema, half, fields, seeing)]

    def search(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        *,
        limit: int,
        output_fields: Sequence[str],
        as_of: Moment | None = None,
    ) -> list[list[Hit]]:
        answer = self._call(
            "search",
            schema.name,
            data=vectors.tolist(),
            anns_field=schema.vector_field,
            limit=limit,
            output_fields=list(output_fields),
            search_params={"metric_type": schema.metric, "params": dict(schema.search_params)},
            **self._said_or_now(as_of),
        )
        return [[_hit(schema, found) for found in hits] for hits in answer]

    def find(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        search: Search,
        output_fields: Sequence[str],
    ) -> list[list[Hit]]:
        return searching.find(self._connection, schema, vectors, search, output_fields)

    # --- writing ----------------------------------------------------------------

    def upsert(self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        writing.upsert(self._connection, schema, chunks, vectors)

    def insert(
        self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors
    ) -> list[Key]:
        return writing.insert(self._connection, schema, chunks, vectors)

    def delete(self, schema: CollectionSchema, keys: Sequence[Key]) -> None:
        writing.delete(self._connection, schema, keys)


def _parts(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), filters.KEYS_PER_FILTER):
        yield keys[start : start + filters.KEYS_PER_FILTER]


def _hit(schema: CollectionSchema, found: Mapping[str, Any]) -> Hit:
    fields = dict(found["entity"])
    key = found[schema.key_field] if schema.key_field in found else found["id"]
    return Hit(key=key, score=float(found["distance"]), fields=fields)
