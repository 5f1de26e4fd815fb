"""A collection as Milvus describes it, turned into a CollectionSchema and back.

``description`` holds everything a copy must have in common with its source, in
words and numbers that JSON can carry. Left out are the name, the dimension of the
embedded vector, the owner tag, and what the server assigns: ids, timestamps, counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymilvus import DataType, FunctionType

from migrations.adapters.milvus.carried import FLOAT_VECTOR
from migrations.adapters.milvus.unsupported import reasons
from migrations.model.chunks import CollectionSchema

#: The collection property that says whose a collection is. Both engines keep
#: properties; milvus-lite drops descriptions, and nothing of the user's is touched.
OWNER_PROPERTY = "reembed.owner"

#: What describe_index tells of the index's state rather than of its definition.
_INDEX_STATE = frozenset(
    {"total_rows", "indexed_rows", "pending_index_rows", "state", "field_name", "index_name"}
)
_FIELD_FLAGS = (
    "is_primary",
    "auto_id",
    "nullable",
    "is_partition_key",
    "is_clustering_key",
    "is_function_output",
)
VARCHAR = DataType.VARCHAR.name


def collection_schema(
    described: Mapping[str, Any], indexes: Sequence[Mapping[str, Any]], vector_field: str = ""
) -> CollectionSchema:
    """From the answers of describe_collection and describe_index.

    ``vector_field`` is the embedded vector's, the first float vector's if it is not said.
    """
    description = _description(described, indexes)
    fields: list[dict[str, Any]] = description["fields"]
    key = _first(fields, lambda field: field["is_primary"])
    vectors = [field for field in fields if field["type"] == FLOAT_VECTOR]
    embedded = _first(vectors, lambda field: vector_field in {"", field["name"]})
    dimension = embedded.get("params", {}).pop("dim", 0)
    return CollectionSchema(
        name=str(described["collection_name"]),
        key_field=key.get("name", ""),
        key_is_string=key.get("type") == VARCHAR,
        vector_field=embedded.get("name", vector_field),
        dimension=int(dimension),
        metric=_metric(description["indexes"], embedded.get("name", "")),
        text_candidates=_text_candidates(fields),
        float_vectors=tuple(field["name"] for field in vectors),
        unsupported=tuple(reasons(description, described, embedded.get("name", vector_field))),
        description=description,
        key_is_given=bool(key.get("auto_id")),
    )


def owner_of(described: Mapping[str, Any]) -> str | None:
    tag = described.get("properties", {}).get(OWNER_PROPERTY)
    return None if tag is None else str(tag)


def _description(
    described: Mapping[str, Any], indexes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    properties = dict(described.get("properties", {}))
    properties.pop(OWNER_PROPERTY, None)
    fields = [_field(field) for field in described["fields"]]
    by_key = any(field["is_partition_key"] for field in fields)
    return {
        "description": described.get("description", ""),
        "enable_dynamic_field": bool(described.get("enable_dynamic_field")),
        "enable_namespace": bool(described.get("enable_namespace")),
        "consistency_level": described.get("consistency_level_name", ""),
        "num_shards": int(described.get("num_shards") or 1),
        "properties": {str(name): str(value) for name, value in properties.items()},
        #: Those that a partition key fills; None where there is no such key.
        "num_partitions": int(described.get("num_partitions") or 1) if by_key else None,
        "fields": fields,
        "functions": [_function(function) for function in described.get("functions") or ()],
        "indexes": sorted(map(_index, indexes), key=lambda index: index["index_name"]),
    }


def _field(field: Mapping[str, Any]) -> dict[str, Any]:
    kind = _type_name(field["type"])
    params = {name: _plain(value) for name, value in (field.get("params") or {}).items()}
    told: dict[str, Any] = {
        "name": field["name"],
        "type": kind,
        "description": field.get("description", ""),
        "params": params,
    }
    told |= {flag: bool(field.get(flag)) for flag in _FIELD_FLAGS}
    if field.get("element_type"):
        told["element_type"] = _type_name(field["element_type"])
    if field.get("default_value") is not None:
        told["default_value"] = _default(field["default_value"])
    return told


def _function(function: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": function["name"],
        "type": FunctionType(function["type"]).name,
        "description": function.get("description", ""),
        "params": {name: _plain(value) for name, value in (function.get("params") or {}).items()},
        "input_field_names": list(function["input_field_names"]),
        "output_field_names": list(function["output_field_names"]),
    }


def _type_name(value: Any) -> str:
    try:
        return str(DataType(value).name)
    except ValueError:  # newer than this pymilvus
        return str(value)


def _default(value: Any) -> Any:
    """A default arrives as a protobuf message of which one member is set."""
    which = getattr(value, "WhichOneof", None)
    return _plain(value if which is None else getattr(value, which("data")))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(member) for name, member in value.items()}
    return value if isinstance(value, str | int | float | bool) else str(value)


def _index(index: Mapping[str, Any]) -> dict[str, Any]:
    params = {name: value for name, value in index.items() if name not in _INDEX_STATE}
    return {
        "index_name": index.get("index_name", ""),
        "field_name": index.get("field_name", ""),
        "params": {str(name): _plain(value) for name, value in params.items()},
    }


def _first(fields: Sequence[Mapping[str, Any]], wanted: Any) -> Mapping[str, Any]:
    return next((field for field in fields if wanted(field)), {})


def _metric(indexes: Sequence[Mapping[str, Any]], vector_field: str) -> str:
    index = _first(indexes, lambda index: index["field_name"] == vector_field)
    return str(index.get("params", {}).get("metric_type", ""))


def _text_candidates(fields: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(
        field["name"] for field in fields if field["type"] == VARCHAR and not field["is_primary"]
    )
