"""Sending rows to Milvus: packed when pymilvus lets us, plain otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymilvus.exceptions import MilvusException

from migrations.adapters.milvus import filters, rows
from migrations.adapters.milvus.client import Connection
from migrations.adapters.milvus.faults import translated
from migrations.model.chunks import Chunk, CollectionSchema, Key, Vectors
from migrations.model.collection_names import database_of
from migrations.model.errors import VectorStoreRefused

#: Milvus takes 64 MiB per message by default; rows are sent in halves above this.
LARGEST_REQUEST_BYTES = 32 * 2**20


def upsert(
    connection: Connection, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors
) -> None:
    """Write whole rows: what a row held before is gone.

    By upsert, because an insert of an existing key keeps both rows on Milvus.
    On milvus-lite it is the other way round: its upsert merges the new row into
    the old one, members of the dynamic field that are gone included, and its
    insert replaces.

    With a partition key, by deletion and insertion: the upsert of Milvus 2.3.5 puts rows
    into partitions where no filter on that key finds them, and later ones leave the old
    row standing in its partition when the key has changed (milvus#30607, #33902).
    """
    if schema.key_is_given:
        raise VectorStoreRefused(
            f"Milvus gives the keys of '{schema.name}': a row of it cannot be written again."
        )
    lite, by_key = connection.is_milvus_lite(), rows.has_partition_key(schema)
    first = [chunk.key for chunk in chunks] if by_key and not lite else []
    _write(connection, schema, chunks, vectors, insert=lite or by_key, deleted_first=first)


def insert(
    connection: Connection, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors
) -> list[Key]:
    """Write rows to whom Milvus gives keys; the keys, in the order of the chunks."""
    given = _write(connection, schema, chunks, vectors, insert=True)
    if len(given) != len(chunks):
        raise VectorStoreRefused(f"Milvus gave {len(given)} keys to {len(chunks)} rows.")
    return given


def _write(
    connection: Connection,
    schema: CollectionSchema,
    chunks: Sequence[Chunk],
    vectors: Vectors,
    *,
    insert: bool,
    deleted_first: Sequence[Key] = (),
) -> list[Key]:
    """The rows' keys, as Milvus answers."""
    if not chunks:
        return []
    checked = rows.check_rows(schema, chunks, vectors)
    stub = connection.stub(database_of(schema.name))
    with connection.turn_to_write():
        delete(connection, schema, deleted_first)
        if stub is None or not rows.can_pack(schema):
            verb = "insert" if insert else "upsert"
            sent = rows.plain_rows(schema, chunks, checked)
            answer = connection.call(verb, schema.name, data=sent)
            return list(answer.get("ids", ()))
        return _send(connection, stub, schema, chunks, checked, insert=insert)


def delete(connection: Connection, schema: CollectionSchema, keys: Sequence[Key]) -> None:
    """The rows of these keys, wherever they stand."""
    for condition in filters.each_of(schema.key_field, rows.distinct(keys)):
        connection.call("delete", schema.name, filter=condition)


def _send(
    connection: Connection,
    stub: Any,
    schema: CollectionSchema,
    chunks: Sequence[Chunk],
    vectors: Vectors,
    *,
    insert: bool,
) -> list[Key]:
    request = rows.packed_request(schema, chunks, vectors, insert=insert)
    if request.ByteSize() > LARGEST_REQUEST_BYTES and len(chunks) > 1:
        half = len(chunks) // 2
        first = _send(connection, stub, schema, chunks[:half], vectors[:half], insert=insert)
        return first + _send(connection, stub, schema, chunks[half:], vectors[half:], insert=insert)
    with translated("insert" if insert else "upsert", schema.name):
        call = stub.Insert if insert else stub.Upsert
        metadata = connection.metadata(database_of(schema.name))
        answer = call(request, timeout=connection.timeout_seconds, metadata=metadata)
        _check(answer.status)
    return list(answer.IDs.str_id.data if schema.key_is_string else answer.IDs.int_id.data)


def _check(status: Any) -> None:
    if status.code or status.error_code:
        raise MilvusException(status.code, status.reason, status.error_code)
