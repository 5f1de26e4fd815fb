"""Chunks as rows: what is checked before anything is sent, and how it is packed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType
from pymilvus.client.entity_helper import (
    extract_row_data_from_fields_data_v2,
    pack_field_value_to_field_data,
)
from pymilvus.client.types import HybridExtraList
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from migrations.adapters.milvus.carried import values_of
from migrations.adapters.milvus.rows import (
    can_pack,
    check_rows,
    chunks_from,
    output_fields,
    packed_request,
    plain_rows,
)
from migrations.model.chunks import Chunk, CollectionSchema
from migrations.model.errors import DimensionMismatch, VectorStoreRefused


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": False, **more}


SCHEMA = CollectionSchema(
    name="docs",
    key_field="pk",
    key_is_string=True,
    vector_field="vector",
    dimension=3,
    metric="COSINE",
    text_candidates=("text",),
    description={
        "enable_dynamic_field": True,
        "fields": [
            field("pk", "VARCHAR"),
            field("text", "VARCHAR"),
            field("meta", "JSON"),
            field("vector", "FLOAT_VECTOR"),
        ],
    },
)


def strict() -> CollectionSchema:
    return replace(SCHEMA, description={**SCHEMA.description, "enable_dynamic_field": False})


def chunk(key: str, **fields: Any) -> Chunk:
    return Chunk(key, {"pk": key, "text": "t", "meta": {}, **fields})


@pytest.mark.parametrize("rows", [1, 12, 300, 1500], ids=lambda rows: f"{rows * 12} bytes")
def test_vectors_are_sent_bit_for_bit_in_one_buffer(rows: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(rows, 3)).astype(np.float32)
    chunks = [chunk(f"k{i}") for i in range(rows)]

    sent = packed_request(SCHEMA, chunks, vectors)

    wire = milvus_pb2.UpsertRequest.FromString(sent.SerializeToString())
    column = next(c for c in wire.fields_data if c.field_name == "vector")
    assert (rows, 3) == (wire.num_rows, column.vectors.dim)
    assert vectors.ravel().tolist() == list(column.vectors.float_vector.data)


def test_vectors_of_another_type_or_order_are_made_float32_rows() -> None:
    columns_first = np.asfortranarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    checked = check_rows(SCHEMA, [chunk("a"), chunk("b")], columns_first)  # type: ignore[arg-type]

    assert (np.float32, True) == (checked.dtype, checked.flags.c_contiguous)
    assert [[1, 2, 3], [4, 5, 6]] == checked.tolist()


@pytest.mark.parametrize("shape", [(1, 4), (2, 3), (3,)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionMismatch):
        check_rows(SCHEMA, [chunk("a")], np.zeros(shape, dtype=np.float32))


def test_a_key_twice_in_one_call_is_an_error() -> None:
    with pytest.raises(ValueError, match="distinct"):
        check_rows(SCHEMA, [chunk("a"), chunk("a")], np.zeros((2, 3), dtype=np.float32))


@pytest.mark.parametrize("make", [packed_request, plain_rows])
def test_fields_without_a_column_need_a_dynamic_field(make: Any) -> None:
    vectors = np.zeros((1, 3), dtype=np.float32)

    with pytest.raises(VectorStoreRefused, match="title"):
        make(strict(), [chunk("a", title="x")], vectors)

    assert make(SCHEMA, [chunk("a", title="x")], vectors)


def test_the_client_is_given_json_values_as_json_text_when_they_are_text() -> None:
    vectors = np.zeros((2, 3), dtype=np.float32)

    rows = plain_rows(SCHEMA, [chunk("a", meta="plain"), chunk("b", meta={"a": 1})], vectors)

    assert ['"plain"', '{"a":1}'] == [row["meta"] for row in rows]


def test_numbers_beyond_64_bits_pass_through_json() -> None:
    vectors = np.zeros((1, 3), dtype=np.float32)

    sent = packed_request(SCHEMA, [chunk("a", meta={"n": 2**70})], vectors)

    column = next(c for c in sent.fields_data if c.field_name == "meta")
    assert [b'{"n": %d}' % 2**70] == list(column.scalars.json_data.data)


def test_nullable_columns_and_defaults_are_left_to_the_client() -> None:
    nullable = field("maybe", "INT64") | {"nullable": True}
    preset = field("preset", "INT64", default_value=7)

    def with_column(column: dict[str, Any]) -> CollectionSchema:
        fields = [*SCHEMA.description["fields"], column]
        return replace(SCHEMA, description={**SCHEMA.description, "fields": fields})

    assert [True, False, False] == [
        can_pack(SCHEMA),
        can_pack(with_column(nullable)),
        can_pack(with_column(preset)),
    ]


def answered(
    chunks: list[Chunk], vectors: np.ndarray, schema: CollectionSchema = SCHEMA
) -> HybridExtraList:
    """What pymilvus makes of these rows when a server answers with them."""
    columns = packed_request(schema, chunks, vectors).fields_data
    rows: list[dict[str, Any]] = [{} for _ in chunks]
    lazy = [c for c in columns if extract_row_data_from_fields_data_v2(c, rows)]
    assert {"vector", "$meta"} <= {column.field_name for column in lazy}
    return HybridExtraList(lazy, rows, dynamic_fields=[])


@pytest.mark.parametrize("with_vectors", [True, False])
def test_rows_are_the_same_whether_we_decode_their_columns_or_pymilvus_does(
    with_vectors: bool,
) -> None:
    chunks = [
        chunk("a", page=1, tags=["x", None], deep={"é": [2**53 + 1, 0.1]}),
        chunk("b"),
        chunk("c", meta={"in": "a column"}, page=None),
    ]
    vectors = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    ours = chunks_from(SCHEMA, answered(chunks, vectors), with_vectors=with_vectors)
    theirs = chunks_from(
        SCHEMA, [dict(row) for row in answered(chunks, vectors)], with_vectors=with_vectors
    )
    assert [c.fields for c in chunks] == [c.fields for c in ours] == [c.fields for c in theirs]
    assert [c.digest() for c in ours] == [c.digest() for c in theirs]
    for our, their, vector in zip(ours, theirs, vectors, strict=True):
        if with_vectors:
            assert vector.tolist() == our.vector.tolist() == their.vector.tolist()
        else:
            assert our.vector is None is their.vector


CARRIED = {
    "image": ("FLOAT_VECTOR", 2, np.float32([0.1, -0.0]).tobytes()),
    "words": ("SPARSE_FLOAT_VECTOR", 0, b"\1\0\0\0\315\314\314=\0(k\356\0\0\200?"),
    "bits": ("BINARY_VECTOR", 16, b"\x00\xff"),
    "half": ("FLOAT16_VECTOR", 2, np.float16([0.1, -2]).tobytes()),
    "brain": ("BFLOAT16_VECTOR", 2, b"\1\2\3\4"),
    "small": ("INT8_VECTOR", 3, b"\x80\x00\x7f"),
}


def with_carried() -> CollectionSchema:
    others = [field(n, kind, params={"dim": dim}) for n, (kind, dim, _) in CARRIED.items()]
    computed = field("computed", "SPARSE_FLOAT_VECTOR", is_function_output=True)
    fields = [*SCHEMA.description["fields"], *others, computed]
    return replace(SCHEMA, description={**SCHEMA.description, "fields": fields})


def test_carried_vectors_come_back_bit_for_bit_whoever_decodes_them() -> None:
    schema = with_carried()
    values = {name: value for name, (_, _, value) in CARRIED.items()}
    turned = {**values, "image": values["image"][::-1], "bits": values["bits"][::-1]}
    chunks = [replace(chunk("a"), carried=values), replace(chunk("b"), carried=turned)]
    vectors = np.zeros((2, 3), dtype=np.float32)
    ours = chunks_from(schema, answered(chunks, vectors, schema), with_vectors=False)
    rows = [dict(row) for row in answered(chunks, vectors, schema)]
    theirs = chunks_from(schema, rows, with_vectors=False)
    assert chunks == ours == theirs
    assert {*CARRIED} == {*output_fields(schema, with_vectors=False)} - {
        "pk",
        "text",
        "meta",
        "$meta",
    }


def test_the_client_takes_carried_vectors_as_it_packs_them() -> None:
    schema = with_carried()
    values = {name: value for name, (_, _, value) in CARRIED.items()}
    vectors = np.zeros((1, 3), dtype=np.float32)

    [row] = plain_rows(schema, [replace(chunk("a"), carried=values)], vectors)

    packed = packed_request(schema, [replace(chunk("a"), carried=values)], vectors).fields_data
    for name, (kind, dim, value) in CARRIED.items():
        column = schema_pb2.FieldData(field_name=name, type=DataType[kind])
        cache: dict[int, list[bytes]] = {}
        info = {"name": name, "params": {"dim": dim}}
        pack_field_value_to_field_data(row[name], column, info, cache)
        sent = next(each for each in packed if each.field_name == name)
        assert [value] == values_of(sent)
        assert [value] == (cache[id(column)] if cache else values_of(column))


def test_a_chunk_that_lacks_a_carried_vector_is_not_written() -> None:
    with pytest.raises(VectorStoreRefused, match="lacks the columns"):
        packed_request(with_carried(), [chunk("a")], np.zeros((1, 3), dtype=np.float32))
