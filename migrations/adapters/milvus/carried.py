"""Vectors beside the one that is embedded: read and written as the bytes they are.

Each value is what Milvus itself stores, little-endian: float32 numbers, pairs of (uint32,
float32) in the order of their indexes for a sparse one, else the bytes of the vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from migrations.model.chunks import CollectionSchema

FLOAT_VECTOR = "FLOAT_VECTOR"
SPARSE = "SPARSE_FLOAT_VECTOR"
_PAIR = np.dtype([("index", "<u4"), ("value", "<f4")])
_FLOATS = np.dtype("<f4")
#: FloatArray.data: field 1, length-delimited because proto3 packs numbers.
_PACKED_FLOATS = b"\x0a"


@dataclass(frozen=True)
class _Bytes:
    """A type whose rows stand one after the other in one string of bytes."""

    wire_name: str
    member: str
    #: Bytes of a vector of so many dimensions.
    size: Callable[[int], int]


_OF_BYTES = {
    "BINARY_VECTOR": _Bytes("BinaryVector", "binary_vector", lambda dimension: dimension // 8),
    "FLOAT16_VECTOR": _Bytes("Float16Vector", "float16_vector", lambda dimension: 2 * dimension),
    "BFLOAT16_VECTOR": _Bytes("BFloat16Vector", "bfloat16_vector", lambda dimension: 2 * dimension),
    "INT8_VECTOR": _Bytes("Int8Vector", "int8_vector", lambda dimension: dimension),
}
#: The types of vectors that can be carried.
CARRIED_TYPES = frozenset({FLOAT_VECTOR, SPARSE, *_OF_BYTES})


def carried_fields(schema: CollectionSchema) -> list[Mapping[str, Any]]:
    """The vector fields that are copied as they are: not embedded, and no function's output."""
    return [
        field
        for field in schema.description["fields"]
        if "VECTOR" in field["type"]
        and field["name"] != schema.vector_field
        and not field.get("is_function_output")
    ]


def values_of(column: Any) -> list[bytes]:
    """The rows of a FieldData message."""
    vectors = column.vectors
    member = vectors.WhichOneof("data")
    if member == "sparse_float_vector":
        return list(vectors.sparse_float_vector.contents)
    if member == "float_vector":
        packed = np.asarray(vectors.float_vector.data, dtype=_FLOATS).tobytes()
        return _cut(packed, _FLOATS.itemsize * vectors.dim)
    kind = next(kind for kind in _OF_BYTES.values() if kind.member == member)
    return _cut(getattr(vectors, member), kind.size(vectors.dim))


def value_of(kind: str, decoded: Any) -> bytes:
    """The same of what pymilvus has made of one of them."""
    if kind == SPARSE:
        return np.array(sorted(decoded.items()), dtype=_PAIR).tobytes()
    if kind == FLOAT_VECTOR:
        return np.asarray(decoded, dtype=_FLOATS).tobytes()
    return bytes(decoded[0] if isinstance(decoded, list) else decoded)


def as_given(kind: str, value: bytes) -> Any:
    """As MilvusClient takes it in a row."""
    if kind == SPARSE:
        pairs = np.frombuffer(value, dtype=_PAIR)
        return dict(zip(pairs["index"].tolist(), pairs["value"].tolist(), strict=True))
    return np.frombuffer(value, dtype=_FLOATS) if kind == FLOAT_VECTOR else value


def fill(column: Any, field: Mapping[str, Any], values: Sequence[bytes]) -> None:
    """Put the rows into a FieldData message."""
    kind, vectors = field["type"], column.vectors
    if kind == SPARSE:
        vectors.sparse_float_vector.contents.extend(values)
        vectors.sparse_float_vector.dim = max(map(_sparse_dimension, values))
        vectors.dim = vectors.sparse_float_vector.dim
        return
    vectors.dim = int(field["params"]["dim"])
    if kind == FLOAT_VECTOR:
        fill_floats(column, b"".join(values))
    else:
        setattr(vectors, _OF_BYTES[kind].member, b"".join(values))


def fill_floats(column: Any, floats: bytes) -> None:
    """Hand numbers to protobuf as one buffer."""
    column.vectors.float_vector.MergeFromString(_PACKED_FLOATS + _varint(len(floats)) + floats)


def wire_name(kind: str) -> str:
    """The name of a vector's type in Milvus' protocol."""
    if kind in _OF_BYTES:
        return _OF_BYTES[kind].wire_name
    return {FLOAT_VECTOR: "FloatVector", SPARSE: "SparseFloatVector"}[kind]


def _cut(packed: bytes, size: int) -> list[bytes]:
    return [packed[start : start + size] for start in range(0, len(packed), size)]


def _sparse_dimension(value: bytes) -> int:
    indexes = np.frombuffer(value, dtype=_PAIR)["index"]
    return int(indexes.max()) + 1 if len(indexes) else 0


def _varint(number: int) -> bytes:
    """A protobuf length: seven bits per byte, the low ones first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
