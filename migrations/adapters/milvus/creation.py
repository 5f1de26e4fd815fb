"""From a description to what pymilvus takes to create the same collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymilvus import DataType, Function, FunctionType, MilvusClient

from migrations.adapters.milvus.schema import OWNER_PROPERTY
from migrations.model.chunks import CollectionSchema


def collection_request(source: CollectionSchema, dimension: int, owner_tag: str) -> dict[str, Any]:
    """The arguments of ``create_collection`` besides the name."""
    described = source.description
    schema = MilvusClient.create_schema(
        auto_id=source.key_is_given,
        enable_dynamic_field=described["enable_dynamic_field"],
        description=described["description"],
    )
    for field in described["fields"]:
        options = _field_options(field)
        if field["name"] == source.vector_field:
            options["dim"] = dimension
        schema.add_field(field["name"], DataType[field["type"]], **options)
    for function in described["functions"]:
        schema.add_function(_function(function))
    partitions = described["num_partitions"]
    return {
        "schema": schema,
        "num_shards": described["num_shards"],
        "consistency_level": described["consistency_level"],
        "properties": {**described["properties"], OWNER_PROPERTY: owner_tag},
        **({} if partitions is None else {"num_partitions": partitions}),
    }


def _field_options(field: Mapping[str, Any]) -> dict[str, Any]:
    options = {"description": field["description"], **field["params"]}
    if "element_type" in field:
        options["element_type"] = DataType[field["element_type"]]
    if "default_value" in field:
        options["default_value"] = field["default_value"]
    for flag in ("is_primary", "auto_id", "nullable", "is_partition_key", "is_clustering_key"):
        if field[flag]:
            options[flag] = True
    return options


def _function(told: Mapping[str, Any]) -> Function:
    return Function(
        told["name"],
        FunctionType[told["type"]],
        told["input_field_names"],
        told["output_field_names"],
        told["description"],
        dict(told["params"]),
    )


def index_request(index: Mapping[str, Any]) -> Any:
    """The IndexParams of one index; its parameters travel exactly as they were described."""
    params = dict(index["params"])
    request = MilvusClient.prepare_index_params()
    request.add_index(
        index["field_name"],
        index_type=params.pop("index_type", ""),
        index_name=index["index_name"],
        params=params,
    )
    return request
