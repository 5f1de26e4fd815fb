"""Sending rows to Milvus: packed when pymilvus lets us, plain otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymilvus.exceptions import MilvusException

from migrations.adapters.milvus import filters, rows
from migrations.adapters.milvus.client import Connection
from migrations.adapters.milvus.faults import translated
from migrations.model.chunks import Chunk, CollectionSchema, Key, Vectors

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
    if not chunks:
        return
    checked = rows.check_rows(schema, chunks, vectors)
    stub = connection.stub()
    lite, by_key = connection.is_milvus_lite(), rows.has_partition_key(schema)
    insert = lite or by_key
    with connection.turn_to_write():
        if by_key and not lite:
            delete(connection, schema, [chunk.key for chunk in chunks])
        if stub is None or not rows.can_pack(schema):
            verb = "insert" if insert else "upsert"
            connection.call(verb, schema.name, data=rows.plain_rows(schema, chunks, checked))
        else:
            _send(connection, stub, schema, chunks, checked, insert=insert)


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
) -> None:
    request = rows.packed_request(schema, chunks, vectors, insert=insert)
    if request.ByteSize() > LARGEST_REQUEST_BYTES and len(chunks) > 1:
        half = len(chunks) // 2
        _send(connection, stub, schema, chunks[:half], vectors[:half], insert=insert)
        _send(connection, stub, schema, chunks[half:], vectors[half:], insert=insert)
        return
    with translated("upsert", schema.name):
        call = stub.Insert if insert else stub.Upsert
        answer = call(request, timeout=connection.timeout_seconds, metadata=connection.metadata())
        _check(answer.status)


def _check(status: Any) -> None:
    if status.code or status.error_code:
        raise MilvusException(status.code, status.reason, status.error_code)
