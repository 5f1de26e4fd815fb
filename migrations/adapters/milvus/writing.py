"""Sending rows to Milvus: packed when pymilvus lets us, plain otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymilvus.exceptions import MilvusException

from migrations.adapters.milvus import rows
from migrations.adapters.milvus.client import Connection
from migrations.adapters.milvus.faults import translated
from migrations.model.chunks import Chunk, CollectionSchema, Vectors

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
    """
    if not chunks:
        return
    checked = rows.check_rows(schema, chunks, vectors)
    stub = connection.stub()
    with connection.turn_to_write():
        if stub is None or not rows.can_pack(schema):
            verb = "insert" if connection.is_milvus_lite() else "upsert"
            connection.call(verb, schema.name, data=rows.plain_rows(schema, chunks, checked))
        else:
            _send(connection, stub, schema, chunks, checked)


def _send(
    connection: Connection,
    stub: Any,
    schema: CollectionSchema,
    chunks: Sequence[Chunk],
    vectors: Vectors,
) -> None:
    lite = connection.is_milvus_lite()
    request = rows.packed_request(schema, chunks, vectors, insert=lite)
    if request.ByteSize() > LARGEST_REQUEST_BYTES and len(chunks) > 1:
        half = len(chunks) // 2
        _send(connection, stub, schema, chunks[:half], vectors[:half])
        _send(connection, stub, schema, chunks[half:], vectors[half:])
        return
    with translated("upsert", schema.name):
        call = stub.Insert if lite else stub.Upsert
        answer = call(request, timeout=connection.timeout_seconds, metadata=connection.metadata())
        _check(answer.status)


def _check(status: Any) -> None:
    if status.code or status.error_code:
        raise MilvusException(status.code, status.reason, status.error_code)
