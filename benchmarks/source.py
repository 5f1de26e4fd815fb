"""The collections that are moved: made and filled with pymilvus, as a user's are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Any

from pymilvus import DataType, MilvusClient

from devstack.provider import vectors_for

FROM_MODEL, TO_MODEL = "text-embedding-3-small", "text-embedding-3-large"
TIMEOUT_SECONDS = 120.0
#: In characters; a chunk of a document has about as many.
SHORTEST, LONGEST = 300, 500
_FLOATS_PER_INSERT = 4_000_000
#: Longest wait for an index of a million rows.
_INDEX_SECONDS = 900.0


@dataclass(frozen=True)
class Source:
    """A collection and how many chunks it was filled with."""

    name: str
    chunks: int
    dimension: int


def texts(first: int, end: int) -> list[str]:
    """Chunks number ``first`` to ``end`` of a corpus: no two alike, 300 to 500 characters each."""
    whole = _CORPUS
    found = []
    for number in range(first, end):
        # Two strides without a common pattern: texts overlap, lengths vary evenly.
        start = number * 7919 % (len(whole) - LONGEST)
        length = SHORTEST + number * 31 % (LONGEST - SHORTEST)
        found.append(f"{number:08d} {whole[start : start + length - 9]}")
    return found


_CORPUS = "\n".join(topics[name] for name in sorted(topics))


def key_of(number: int) -> str:
    return f"chunk-{number:08d}"


def make(milvus: MilvusClient, name: str, chunks: int, dimension: int) -> Source:
    """A collection of embedded chunks, sealed, indexed and loaded."""
    make_collection(milvus, name, dimension)
    for rows in _rows(chunks, dimension):
        milvus.insert(name, rows, timeout=TIMEOUT_SECONDS)
    milvus.flush(name, timeout=TIMEOUT_SECONDS)
    wait_indexed(milvus, name)
    return Source(name, chunks, dimension)


def make_collection(milvus: MilvusClient, name: str, dimension: int) -> None:
    """VARCHAR key, text, a dynamic field, AUTOINDEX by COSINE: what MilvusClient offers first."""
    schema = milvus.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("text", DataType.VARCHAR, max_length=4096)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    index = milvus.prepare_index_params()
    index.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
    milvus.create_collection(name, schema=schema, index_params=index, timeout=TIMEOUT_SECONDS)


def _rows(chunks: int, dimension: int) -> Iterator[list[dict[str, Any]]]:
    size = max(1, min(5_000, _FLOATS_PER_INSERT // dimension))
    for first in range(0, chunks, size):
        end = min(chunks, first + size)
        found = texts(first, end)
        yield [
            {"id": key_of(number), "text": text, "source": f"page-{number // 10}", "vector": vector}
            for number, text, vector in zip(
                range(first, end), found, vectors_for(FROM_MODEL, found, dimension), strict=True
            )
        ]


def wait_indexed(milvus: MilvusClient, name: str) -> None:
    """Return once no row waits for the vector index. Raises TimeoutError."""
    deadline = time.monotonic() + _INDEX_SECONDS
    while pending := _pending(milvus, name):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{pending} rows of {name} have no index yet")
        time.sleep(0.1)


def _pending(milvus: MilvusClient, name: str) -> int:
    described = milvus.describe_index(name, "vector", timeout=TIMEOUT_SECONDS)
    return int(described["pending_index_rows"])


def count(milvus: MilvusClient, name: str) -> int:
    """Rows as the engine counts them, strongly consistent."""
    found = milvus.query(
        name,
        filter='id >= ""',
        output_fields=["count(*)"],
        consistency_level="Strong",
        timeout=TIMEOUT_SECONDS,
    )
    return int(found[0]["count(*)"])


def drop(milvus: MilvusClient, name: str) -> None:
    """Drop a collection and the aliases that point to it."""
    found = milvus.list_aliases(name, timeout=TIMEOUT_SECONDS)
    for alias in found["aliases"] if isinstance(found, dict) else found:
        milvus.drop_alias(alias, timeout=TIMEOUT_SECONDS)
    milvus.drop_collection(name, timeout=TIMEOUT_SECONDS)
