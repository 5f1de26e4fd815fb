"""Sending rows to Milvus: packed when pymilvus lets us, plain otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymilvus.exceptions import MilvusException

from migrations.adapters.milvus import rows
from migrations.adapters.milvus.client import Connection
from migrations.adapters.milvus.faults import translated
from migrations.chunks import Chunk, CollectionSchema, Vectors

#: Milvus takes 64 MiB per message by default; rows are sent in halves above this.
LARGEST_REQUEST_BYTES = 32 * 2**20


def upsert(
    connection: Connection, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors
) -> None:
    """Write the rows; never by insert, which on Milvus keeps a second row of the same key."""
    if not chunks:
        return
    checked = rows.check_rows(schema, chunks, vectors)
    stub = connection.stub()
    if stub is None or not rows.can_pack(schema):
        connection.call("upsert", schema.name, data=rows.plain_rows(schema, chunks, checked))
    else:
        _send(connection, stub, schema, chunks, checked)


def _send(
    connection: Connection,
    stub: Any,
    schema: CollectionSchema,
    chunks: Sequence[Chunk],
    vectors: Vectors,
) -> None:
    request = rows.packed_request(schema, chunks, vectors)
    if request.ByteSize() > LARGEST_REQUEST_BYTES and len(chunks) > 1:
        half = len(chunks) // 2
        _send(connection, stub, schema, chunks[:half], vectors[:half])
        _send(connection, stub, schema, chunks[half:], vectors[half:])
        return
    with translated("upsert", schema.name):
        response = stub.Upsert(
            request, timeout=connection.timeout_seconds, metadata=connection.metadata()
        )
        _check(response.status)


def _check(status: Any) -> None:
    if status.code or status.error_code:
        raise MilvusException(status.code, status.reason, status.error_code)
