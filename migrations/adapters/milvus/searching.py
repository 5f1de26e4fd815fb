"""Readers' searches: by vector, or by vector and words together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pymilvus import AnnSearchRequest, RRFRanker, WeightedRanker

from migrations.adapters.milvus import filters, rows
from migrations.adapters.milvus.client import Connection
from migrations.model.chunks import CollectionSchema, Hit, Vectors
from migrations.model.errors import SearchRefused, VectorStoreRefused
from migrations.model.search import Fusion, Search

ALL = "*"


def find(
    connection: Connection,
    schema: CollectionSchema,
    vectors: Vectors,
    search: Search,
    output_fields: Sequence[str],
) -> list[list[Hit]]:
    """As :meth:`migrations.ports.vector_store.VectorStore.find`."""
    condition = filters.filled(search.filter, search.filter_params)
    options: dict[str, Any] = {
        "limit": search.limit,
        "output_fields": _names(schema, output_fields),
    }
    if search.partitions:
        options["partition_names"] = list(search.partitions)
    if search.consistency is not None:
        options["consistency_level"] = search.consistency.value
    try:
        if search.fusion is None:
            answer = _by_vector(connection, schema, vectors, search, condition, options)
        else:
            answer = _by_both(connection, schema, vectors, search, condition, options)
    except VectorStoreRefused as error:
        if search.is_plain:
            raise
        raise SearchRefused(error.message) from error
    if not output_fields:
        return [[replace(_hit(schema, found), fields={}) for found in hits] for hits in answer]
    return [[_hit(schema, found) for found in hits] for hits in answer]


def _by_vector(
    connection: Connection,
    schema: CollectionSchema,
    vectors: Vectors,
    search: Search,
    condition: str,
    options: Mapping[str, Any],
) -> Any:
    return connection.call(
        "search",
        schema.name,
        data=list(vectors),
        anns_field=schema.vector_field,
        filter=condition,
        search_params=_params(schema.metric, search, offset=search.offset),
        **options,
    )


def _by_both(
    connection: Connection,
    schema: CollectionSchema,
    vectors: Vectors,
    search: Search,
    condition: str,
    options: Mapping[str, Any],
) -> Any:
    assert search.fusion is not None  # noqa: S101 -- as find has seen
    words_field = schema.words_field
    if words_field is None:
        raise SearchRefused(
            f"'{schema.name}' has no BM25 function, so it cannot be searched by words."
        )
    deepest = search.limit + search.offset
    asked = [
        AnnSearchRequest(
            data=data, anns_field=field, param=params, limit=deepest, expr=condition or None
        )
        for data, field, params in (
            (list(vectors), schema.vector_field, _params(schema.metric, search)),
            (list(search.texts), words_field, {"metric_type": "BM25", "params": {}}),
        )
    ]
    return connection.call(
        "hybrid_search",
        schema.name,
        asked,
        _ranker(search.fusion),
        offset=search.offset,
        **options,
    )


def _ranker(fusion: Fusion) -> RRFRanker | WeightedRanker:
    if fusion.rrf_k is not None:
        return RRFRanker(fusion.rrf_k)
    return WeightedRanker(fusion.vector_weight, fusion.words_weight)


def _params(metric: str, search: Search, **more: Any) -> dict[str, Any]:
    return {"metric_type": metric, "params": dict(search.params), **more}


def _names(schema: CollectionSchema, output_fields: Sequence[str]) -> list[str]:
    """All that is asked for but vectors, which nobody reads from an answer."""
    if ALL not in output_fields:
        return list(output_fields) or [schema.key_field]  # milvus-lite takes none for all
    names = [field["name"] for field in rows.scalar_fields(schema)]
    return [*names, rows.DYNAMIC_FIELD] if schema.description["enable_dynamic_field"] else names


def _hit(schema: CollectionSchema, found: Mapping[str, Any]) -> Hit:
    fields = dict(found["entity"])
    members = fields.pop(rows.DYNAMIC_FIELD, None)
    if isinstance(members, Mapping):
        fields = {**members, **fields}
    key = found[schema.key_field] if schema.key_field in found else found["id"]
    return Hit(key=key, score=float(found["distance"]), fields=fields)
