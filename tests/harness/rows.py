"""A bot's collection as a user's script sees it: made, filled and read with pymilvus alone.

None of this goes through our own store, so that what it finds is evidence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from pymilvus import DataType, MilvusClient

from devstack.provider import vectors_for
from migrations.adapters.milvus.client import CHANNEL_OPTIONS
from migrations.adapters.providers.catalogue import LOCAL_PROVIDER
from migrations.adapters.providers.local import LocalEmbedder, LocalModel
from migrations.model.config import EmbeddingRef
from migrations.model.roles import TextRole

Vectors = npt.NDArray[np.float32]
TIMEOUT_SECONDS = 30.0
#: Rows in one query: far below what Milvus allows, whatever is found beside the expected.
PART = 4_000
ROWS_PER_UPSERT = 1_000


def connect(uri: str) -> MilvusClient:
    """A client of one's own, which Milvus' limit of pings does not end."""
    return MilvusClient(
        uri=uri, timeout=TIMEOUT_SECONDS, dedicated=True, grpc_options=CHANNEL_OPTIONS
    )


@dataclass(frozen=True)
class Row:
    """One chunk as it stands in Milvus."""

    key: str
    text: str
    fields: Mapping[str, Any]
    vector: npt.NDArray[np.float32]


@cache
def _local_model() -> LocalModel:
    return LocalModel()


def embedded(ref: EmbeddingRef, texts: Sequence[str], role: TextRole | None = None) -> Vectors:
    """What the model answers for these texts, asked of nobody: shape (len(texts), dimension).

    As its documents, or in another role.
    """
    role = ref.document_role if role is None else role
    if ref.provider == LOCAL_PROVIDER:
        return LocalEmbedder(ref, _local_model(), role).embed(texts).vectors
    model = role.parameters.get("model", ref.model)
    return vectors_for(str(model), role.around_all(texts), ref.dimension, role.parameters)


def make_collection(milvus: MilvusClient, name: str, dimension: int) -> None:
    """An ordinary collection: VARCHAR key, text, a dynamic field, one vector by COSINE."""
    schema = milvus.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=128)
    schema.add_field("text", DataType.VARCHAR, max_length=2048)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    index = milvus.prepare_index_params()
    params = {"M": 16, "efConstruction": 100}
    index.add_index("vector", index_type="HNSW", metric_type="COSINE", params=params)
    milvus.create_collection(name, schema=schema, index_params=index, timeout=TIMEOUT_SECONDS)


def rows_of(ref: EmbeddingRef, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows ready to be written; ``source`` goes to the dynamic field."""
    if not texts:
        return []
    vectors = embedded(ref, list(texts.values()))
    return [
        {"id": key, "text": text, "source": f"page-{key}", "vector": vector}
        for (key, text), vector in zip(texts.items(), vectors, strict=True)
    ]


def fill(milvus: MilvusClient, name: str, ref: EmbeddingRef, texts: Mapping[str, str]) -> None:
    """Upsert all, and seal them as if they had lain there for years."""
    rows = rows_of(ref, texts)
    for start in range(0, len(rows), ROWS_PER_UPSERT):
        milvus.upsert(name, rows[start : start + ROWS_PER_UPSERT], timeout=TIMEOUT_SECONDS)
    milvus.flush(name, timeout=4 * TIMEOUT_SECONDS)


def read_all(milvus: MilvusClient, name: str, expected: Sequence[str] = ()) -> list[Row]:
    """Every row, key by key as it comes, strongly consistent.

    ``expected`` keys only say where to cut a large collection; others are found too.
    """
    borders = sorted(expected)[PART - 1 :: PART]
    spans = pairwise([None, *borders, None])
    return [row for after, upto in spans for row in _read(milvus, name, after, upto)]


def _read(milvus: MilvusClient, name: str, after: str | None, upto: str | None) -> list[Row]:
    above = 'id >= ""' if after is None else f"id > {json.dumps(after)}"
    condition = above if upto is None else f"{above} and id <= {json.dumps(upto)}"
    found = milvus.query(
        name,
        filter=condition,
        output_fields=["*", "vector"],
        limit=4 * PART,
        consistency_level="Strong",
        timeout=TIMEOUT_SECONDS,
    )
    assert len(found) < 4 * PART, "more rows than one query answers; name the expected keys"
    return [_row(one) for one in found]


def _row(found: Mapping[str, Any]) -> Row:
    fields = {name: value for name, value in found.items() if name != "vector"}
    vector = np.asarray(found["vector"], dtype=np.float32)
    return Row(key=fields["id"], text=fields["text"], fields=fields, vector=vector)


def count(milvus: MilvusClient, name: str) -> int:
    """Rows as the engine counts them: one key twice counts twice."""
    answer = milvus.query(
        name,
        filter='id >= ""',
        output_fields=["count(*)"],
        consistency_level="Strong",
        timeout=TIMEOUT_SECONDS,
    )
    return int(answer[0]["count(*)"])


def digest(milvus: MilvusClient, name: str, expected: Sequence[str] = ()) -> str:
    """SHA-256 over every row to the byte, vectors included, in key order; and over the count."""
    told = hashlib.sha256(str(count(milvus, name)).encode())
    for row in sorted(read_all(milvus, name, expected), key=lambda row: row.key):
        told.update(json.dumps(dict(row.fields), sort_keys=True).encode())
        told.update(row.vector.tobytes())
    return told.hexdigest()


def points_to(milvus: MilvusClient, alias: str) -> str:
    """The physical collection behind an alias."""
    return str(milvus.describe_alias(alias, timeout=TIMEOUT_SECONDS)["collection_name"])
