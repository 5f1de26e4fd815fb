"""Chunks to rows and back.

Writing has two paths with one result. The packed one builds the request by
column and hands the vectors to protobuf as one buffer, which takes about a
sixth of the time; it relies on pymilvus' generated messages. The plain one
hands a list of dicts to MilvusClient and serves whatever the packed one does
not: nullable columns, columns with defaults, a pymilvus without those messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from migrations.adapters.milvus import carried
from migrations.model.chunks import Chunk, CollectionSchema, Key, Vectors
from migrations.model.collection_names import apart
from migrations.model.errors import DimensionMismatch, VectorStoreRefused

try:
    from pymilvus.grpc_gen import milvus_pb2, schema_pb2
except ImportError:  # generated code moves between releases; the plain path needs none of it
    milvus_pb2 = schema_pb2 = None

#: The JSON column that holds what no declared column does.
DYNAMIC_FIELD = "$meta"
#: The member of ScalarField, and of an array's element, that carries each type.
_MEMBER = {
    "BOOL": "bool_data",
    "INT8": "int_data",
    "INT16": "int_data",
    "INT32": "int_data",
    "INT64": "long_data",
    "FLOAT": "float_data",
    "DOUBLE": "double_data",
    "VARCHAR": "string_data",
}

Fields = Sequence[Mapping[str, Any]]


def scalar_fields(schema: CollectionSchema) -> list[Mapping[str, Any]]:
    """The declared columns that are not vectors."""
    return [field for field in schema.description["fields"] if "VECTOR" not in field["type"]]


def written_fields(schema: CollectionSchema) -> list[Mapping[str, Any]]:
    """Those of them that are sent: not a key that Milvus gives."""
    declared = scalar_fields(schema)
    if not schema.key_is_given:
        return declared
    return [field for field in declared if field["name"] != schema.key_field]


def output_fields(schema: CollectionSchema, *, with_vectors: bool) -> list[str]:
    """The names to ask for so that every member of a chunk comes back."""
    names = [field["name"] for field in scalar_fields(schema)]
    if schema.description["enable_dynamic_field"]:
        names.append(DYNAMIC_FIELD)
    names.extend(field["name"] for field in carried.carried_fields(schema))
    if with_vectors:
        names.append(schema.vector_field)
    return names


# --- reading --------------------------------------------------------------------


def chunks_from(
    schema: CollectionSchema, result: Sequence[dict[str, Any]], *, with_vectors: bool
) -> list[Chunk]:
    """The rows of a query as chunks."""
    vectors = _take_vectors(schema, result) if with_vectors else None
    others = [_take_carried(field, result) for field in carried.carried_fields(schema)]
    dynamic = _take_dynamic(result)
    undeclared = {schema.vector_field, *(name for name, _ in others)}
    chunks = []
    for position, row in enumerate(result):
        fields = {name: value for name, value in row.items() if name not in undeclared}
        if dynamic is not None:
            fields = {**dynamic[position], **fields}  # a declared column goes before a member
        chunks.append(
            Chunk(
                key=fields[schema.key_field],
                fields=fields,
                vector=None if vectors is None else vectors[position],
                carried={name: values[position] for name, values in others},
            )
        )
    return chunks


def _take_vectors(schema: CollectionSchema, result: Any) -> Vectors:
    """The vectors of a query's result, shape (rows, dimension).

    pymilvus keeps the vectors' column undecoded until a row is looked at and
    then makes a Python float of every number; so the column is taken away from
    it before anybody looks.
    """
    column = _take(result, lambda column: column.field_name == schema.vector_field)
    if column is not None:
        return _matrix(column.vectors.float_vector, column.vectors.dim)
    rows = [row[schema.vector_field] for row in result]
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), schema.dimension)


def _take_carried(field: Mapping[str, Any], result: Any) -> tuple[str, list[bytes]]:
    """A vector field that is copied as it is, with the bytes of each row."""
    name, kind = field["name"], field["type"]
    column = _take(result, lambda column: column.field_name == name)
    if column is not None:
        return name, carried.values_of(column)
    return name, [carried.value_of(kind, row[name]) for row in result]


def _take_dynamic(result: Any) -> list[dict[str, Any]] | None:
    """Each row's members of the dynamic field; None where pymilvus has put them into the rows.

    Likewise: a page cost 6.8 us a row with the rows decoded one by one, and 3.7 us so.
    """
    column = _take(result, lambda column: column.is_dynamic)
    return None if column is None else [orjson.loads(x) for x in column.scalars.json_data.data]


def _take(result: Any, is_wanted: Callable[[Any], bool]) -> Any:
    """Take the one column away that pymilvus would decode row by row; None if it has none."""
    lazy = getattr(result, "_lazy_field_data", None) or []
    for column in lazy:
        if is_wanted(column) and not column.valid_data:
            result._lazy_field_data = [other for other in lazy if other is not column]
            return column
    return None


def _matrix(floats: Any, dimension: int) -> Vectors:
    packed = floats.SerializeToString()
    numbers = np.frombuffer(packed, dtype="<f4", offset=len(packed) - 4 * len(floats.data))
    return numbers.reshape(-1, dimension)


# --- writing --------------------------------------------------------------------


def check_rows(schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors) -> Vectors:
    """The vectors as C-contiguous float32, once they fit the chunks and the collection."""
    if len({chunk.key for chunk in chunks}) != len(chunks):
        raise ValueError("The keys of one upsert must be distinct: which row wins is undefined.")
    expected = (len(chunks), schema.dimension)
    if vectors.shape != expected:
        raise DimensionMismatch(
            f"The vectors have shape {vectors.shape}; '{schema.name}' takes {expected}."
        )
    return np.ascontiguousarray(vectors, dtype="<f4")


def plain_rows(
    schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors
) -> list[dict[str, Any]]:
    """Rows as MilvusClient.upsert takes them."""
    json_fields = [field["name"] for field in scalar_fields(schema) if field["type"] == "JSON"]
    kinds = {field["name"]: field["type"] for field in carried.carried_fields(schema)}
    rows = []
    for chunk, row, vector in zip(chunks, _complete(schema, chunks), vectors, strict=True):
        # pymilvus takes a str in a JSON column for JSON that is written already.
        told = {name: _as_text(row[name]) for name in json_fields if row.get(name) is not None}
        others = {n: carried.as_given(kind, chunk.carried[n]) for n, kind in kinds.items()}
        rows.append({**row, **told, **others, schema.vector_field: vector})
    return rows


def has_partition_key(schema: CollectionSchema) -> bool:
    return any(field.get("is_partition_key") for field in schema.description["fields"])


def can_pack(schema: CollectionSchema) -> bool:
    return milvus_pb2 is not None and not any(
        field["nullable"] or "default_value" in field for field in schema.description["fields"]
    )


def packed_request(
    schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors, *, insert: bool = False
) -> Any:
    """An UpsertRequest (or InsertRequest) of the same rows, by column."""
    rows = _complete(schema, chunks)
    declared = written_fields(schema)
    columns = [_column(field, [row[field["name"]] for row in rows]) for field in declared]
    columns.append(_vector_column(schema, vectors))
    columns.extend(_carried_column(field, chunks) for field in carried.carried_fields(schema))
    if schema.description["enable_dynamic_field"]:
        columns.append(_dynamic_column({field["name"] for field in declared}, rows))
    request = milvus_pb2.InsertRequest if insert else milvus_pb2.UpsertRequest
    return request(collection_name=apart(schema.name)[1], num_rows=len(rows), fields_data=columns)


def _complete(schema: CollectionSchema, chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """What is sent of each chunk's fields, when they are the collection's."""
    declared = written_fields(schema)
    needed = {field["name"] for field in declared if not _may_lack(field)}
    others = {field["name"] for field in carried.carried_fields(schema)}
    known = {field["name"] for field in declared}
    dynamic = schema.description["enable_dynamic_field"]
    rows = []
    for chunk in chunks:
        row = {**chunk.fields, schema.key_field: chunk.key}
        if schema.key_is_given:
            del row[schema.key_field]
        if not needed <= row.keys() or not others <= chunk.carried.keys():
            missing = sorted(needed - row.keys() | others - chunk.carried.keys())
            raise VectorStoreRefused(f"The chunk {chunk.key!r} lacks the columns {missing}.")
        if not dynamic and not row.keys() <= known:
            extra = sorted(row.keys() - known)
            raise VectorStoreRefused(
                f"'{schema.name}' has no column for {extra} and no dynamic field."
            )
        rows.append(row)
    return rows


def _may_lack(field: Mapping[str, Any]) -> bool:
    return bool(field["nullable"]) or "default_value" in field


def _as_text(value: Any) -> str:
    return _as_json(value).decode()


def _as_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # numbers beyond 64 bits
        return json.dumps(value, ensure_ascii=False).encode()


def _column(field: Mapping[str, Any], values: list[Any]) -> Any:
    column = schema_pb2.FieldData(
        field_name=field["name"], type=schema_pb2.DataType.Value(_WIRE_NAME[field["type"]])
    )
    if field["type"] == "JSON":
        column.scalars.json_data.data.extend(map(_as_json, values))
    elif field["type"] == "ARRAY":
        member = _MEMBER[field["element_type"]]
        column.scalars.array_data.data.extend(_array(member, value) for value in values)
    else:
        getattr(column.scalars, _MEMBER[field["type"]]).data.extend(values)
    return column


def _array(member: str, values: Sequence[Any]) -> Any:
    array = schema_pb2.ScalarField()
    getattr(array, member).data.extend(values)
    return array


def _vector_column(schema: CollectionSchema, vectors: Vectors) -> Any:
    column = schema_pb2.FieldData(
        field_name=schema.vector_field, type=schema_pb2.DataType.FloatVector
    )
    column.vectors.dim = schema.dimension
    carried.fill_floats(column, vectors.tobytes())
    return column


def _carried_column(field: Mapping[str, Any], chunks: Sequence[Chunk]) -> Any:
    name = field["name"]
    kind = schema_pb2.DataType.Value(carried.wire_name(field["type"]))
    column = schema_pb2.FieldData(field_name=name, type=kind)
    carried.fill(column, field, [chunk.carried[name] for chunk in chunks])
    return column


def _dynamic_column(declared: set[str], rows: Sequence[Mapping[str, Any]]) -> Any:
    column = schema_pb2.FieldData(
        field_name=DYNAMIC_FIELD, is_dynamic=True, type=schema_pb2.DataType.JSON
    )
    column.scalars.json_data.data.extend(
        _as_json({name: value for name, value in row.items() if name not in declared})
        for row in rows
    )
    return column


_WIRE_NAME = {
    "BOOL": "Bool",
    "INT8": "Int8",
    "INT16": "Int16",
    "INT32": "Int32",
    "INT64": "Int64",
    "FLOAT": "Float",
    "DOUBLE": "Double",
    "VARCHAR": "VarChar",
    "JSON": "JSON",
    "ARRAY": "Array",
}


def in_key_order(chunks: list[Chunk]) -> list[Chunk]:
    return sorted(chunks, key=lambda chunk: chunk.key)


def distinct(keys: Sequence[Key]) -> list[Key]:
    return list(dict.fromkeys(keys))
