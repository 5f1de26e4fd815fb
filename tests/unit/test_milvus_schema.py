"""What is read out of Milvus' own descriptions, and what of them stands in the way."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pymilvus import DataType, FunctionType

from migrations.adapters.milvus.creation import collection_request
from migrations.adapters.milvus.schema import collection_schema, owner_of

KEY = {"field_id": 100, "name": "pk", "type": DataType.INT64, "params": {}, "is_primary": True}
TEXT = {"field_id": 101, "name": "text", "type": DataType.VARCHAR, "params": {"max_length": 99}}
VECTOR = {"field_id": 102, "name": "vec", "type": DataType.FLOAT_VECTOR, "params": {"dim": 8}}
INDEX = {
    "index_name": "vec",
    "field_name": "vec",
    "index_type": "HNSW",
    "metric_type": "L2",
    "M": "8",
    "total_rows": 5,
    "indexed_rows": 5,
    "pending_index_rows": 0,
    "state": "Finished",
}


def described(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "collection_name": "docs",
        "description": "theirs",
        "fields": list(fields) or [KEY, TEXT, VECTOR],
        "num_shards": 1,
        "num_partitions": 1,
        "consistency_level_name": "Bounded",
        "properties": {},
        "enable_dynamic_field": True,
        "collection_id": 47,
        "created_timestamp": 11,
        **more,
    }


def varchar(name: str, length: int = 10) -> dict[str, Any]:
    return {"name": name, "type": DataType.VARCHAR, "params": {"max_length": length}}


def test_what_the_server_assigns_is_left_out_of_the_description() -> None:
    one = collection_schema(described(), [INDEX])
    other = collection_schema(
        described(
            {**KEY, "field_id": 7},
            TEXT,
            {**VECTOR, "params": {"dim": 16}},
            collection_name="copy",
            collection_id=48,
            created_timestamp=12,
            properties={"reembed.owner": "migration 1"},
        ),
        [{**INDEX, "total_rows": 0, "indexed_rows": 0}],
    )

    assert [] == one.differences(other)
    assert (8, 16, "L2") == (one.dimension, other.dimension, other.metric)
    assert dict(one.description) == orjson.loads(orjson.dumps(one.description))


@pytest.mark.parametrize(
    ("change", "index"),
    [
        ({"description": "another"}, INDEX),
        ({"enable_dynamic_field": False}, INDEX),
        ({"consistency_level_name": "Strong"}, INDEX),
        ({"num_shards": 2}, INDEX),
        ({"properties": {"mmap.enabled": "true"}}, INDEX),
        ({"fields": [KEY, {**TEXT, "params": {"max_length": 100}}, VECTOR]}, INDEX),
        ({"fields": [KEY, TEXT, {**VECTOR, "description": "new"}]}, INDEX),
        ({}, {**INDEX, "M": "16"}),
        ({}, {**INDEX, "metric_type": "IP"}),
    ],
)
def test_everything_else_is_a_difference(change: dict[str, Any], index: dict[str, Any]) -> None:
    mine = collection_schema(described(), [INDEX])

    assert 1 == len(mine.differences(collection_schema(described(**change), [index])))


def test_varchar_fields_come_in_the_collections_order_whatever_their_names_and_lengths() -> None:
    fields = [varchar("title", 500), varchar("body"), varchar("url", 900), varchar("Content")]
    key = {**varchar("id"), "is_primary": True}

    schema = collection_schema(described(key, *fields, VECTOR), [INDEX])

    assert ("title", "body", "url", "Content") == schema.text_candidates
    assert schema.key_is_string


def test_the_owner_tag_is_added_to_the_users_properties_and_read_back() -> None:
    source = collection_schema(described(properties={"mmap.enabled": "true"}), [INDEX])

    request = collection_request(source, 16, "migration 1")

    assert {"mmap.enabled": "true", "reembed.owner": "migration 1"} == request["properties"]
    assert "migration 1" == owner_of(request)
    assert owner_of(described()) is None
    assert 16 == next(f for f in request["schema"].fields if f.name == "vec").params["dim"]


def test_a_key_that_milvus_gives_is_carried_as_such() -> None:
    schema = collection_schema(described({**KEY, "auto_id": True}, TEXT, VECTOR), [INDEX])
    assert ((), True) == (schema.unsupported, schema.key_is_given)
    made = collection_request(schema, 16, "migration 1")["schema"]
    assert [True, False, False] == [bool(field.auto_id) for field in made.fields]


SPARSE = {"name": "sparse", "type": DataType.SPARSE_FLOAT_VECTOR, "params": {}}
VECTOR2 = {"name": "vec2", "type": DataType.FLOAT_VECTOR, "params": {"dim": 3}}
BM25 = {
    "name": "bm25",
    "type": FunctionType.BM25,
    "input_field_names": ["text"],
    "output_field_names": ["sparse"],
}


@pytest.mark.parametrize(
    ("collection", "word"),
    [
        (
            described({**KEY, "type": DataType.VARCHAR, "auto_id": True}, TEXT, VECTOR),
            "'pk' is assigned by Milvus (auto_id) as VARCHAR",
        ),
        (described({**KEY, "type": DataType.INT32}, TEXT, VECTOR), "'pk' is INT32"),
        (described(KEY, TEXT, VECTOR, {**VECTOR2, "nullable": True}), "'vec2' may be null"),
        (described(KEY, TEXT, VECTOR, {**VECTOR2, "type": 106}), "'vec2' is _ARRAY_OF_VECTOR"),
        (described(struct_array_fields=[{"name": "s"}]), "'s' is an array of structs"),
        (described(external_source="s3://a"), "external source"),
        (described(enable_namespace=True), "has namespaces"),
        (described(KEY, TEXT, VECTOR, {"name": "p", "type": 24, "params": {}}), "'p' is GEOMETRY"),
        (described(KEY, TEXT, VECTOR, {"name": "s", "type": 999, "params": {}}), "'s' is UNKNOWN"),
        (described(functions=[{**BM25, "type": 4}]), "The function 'bm25' is MINHASH"),
        (
            described(KEY, TEXT, {**VECTOR, "is_function_output": True}),
            "'vec' is filled by a function",
        ),
        (described(num_partitions=3), "3 partitions"),
        (described(properties={"collection.ttl.seconds": "60"}), "expire after 60 seconds"),
    ],
)
def test_what_cannot_be_carried_over_is_named(collection: dict[str, Any], word: str) -> None:
    indexes = [INDEX, {**INDEX, "index_name": "vec2", "field_name": "vec2"}]

    [reason] = collection_schema(collection, indexes).unsupported

    assert word in reason


def test_one_of_several_vectors_is_embedded_and_the_others_keep_their_dimension() -> None:
    collection, index2 = described(KEY, TEXT, VECTOR, VECTOR2), {**INDEX, "field_name": "vec2"}

    first, second = (
        collection_schema(collection, [INDEX, {**index2, "metric_type": "IP"}], name)
        for name in ("vec", "vec2")
    )

    assert ("vec", 8, "L2") == (first.vector_field, first.dimension, first.metric)
    assert ("vec2", 3, "IP") == (second.vector_field, second.dimension, second.metric)
    assert ("vec", "vec2") == first.float_vectors == second.float_vectors
    assert first == collection_schema(collection, [INDEX, {**index2, "metric_type": "IP"}])
    made = collection_request(second, 64, "migration 1")["schema"].fields
    assert {"vec": 8, "vec2": 64} == {f.name: f.params["dim"] for f in made if "dim" in f.params}


def test_a_vector_that_is_not_there_is_unsupported() -> None:
    schema = collection_schema(described(), [INDEX], "dense")

    assert ("There is no FLOAT_VECTOR field 'dense'; there is vec.",) == schema.unsupported


def test_a_function_and_a_partition_key_are_made_again() -> None:
    tenant = {**varchar("tenant"), "is_partition_key": True}
    fields = (KEY, TEXT, VECTOR, {**SPARSE, "is_function_output": True}, tenant)
    source = collection_schema(described(*fields, functions=[BM25], num_partitions=64), [INDEX])

    request = collection_request(source, 16, "migration 1")

    assert () == source.unsupported
    [function] = request["schema"].functions
    assert ("bm25", FunctionType.BM25, ["text"], ["sparse"]) == (
        function.name,
        function.type,
        function.input_field_names,
        function.output_field_names,
    )
    assert 64 == request["num_partitions"]
    assert ["tenant"] == [f.name for f in request["schema"].fields if f.is_partition_key]


def test_a_collection_without_a_vector_or_without_an_index_is_unsupported() -> None:
    assert ["no FLOAT_VECTOR"] == [
        reason[9:24] for reason in collection_schema(described(KEY, TEXT), []).unsupported
    ]
    [reason] = collection_schema(described(), []).unsupported
    assert "'vec' has no index" in reason


def test_an_ordinary_collection_is_supported() -> None:
    ordinary = described(properties={"collection.ttl.seconds": "0"})

    assert () == collection_schema(ordinary, [INDEX]).unsupported
