"""What of a collection cannot be carried over exactly, each with a way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrations.adapters.milvus.carried import CARRIED_TYPES, FLOAT_VECTOR

_KEY_TYPES = frozenset({"INT64", "VARCHAR"})
_SCALARS = frozenset(
    {"BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR", "JSON", "ARRAY"}
)
#: Functions whose output is the same of the same input, wherever it is computed.
_FUNCTIONS = frozenset({"BM25"})
_DEFAULT_PARTITION = "_default"
_TTL = "collection.ttl.seconds"

Fields = Sequence[Mapping[str, Any]]


def reasons(
    description: Mapping[str, Any], described: Mapping[str, Any], vector_field: str
) -> Iterator[str]:
    """A sentence per feature that stands in the way; none for an ordinary collection.

    ``description`` is our canonical one, ``described`` the answer of Milvus; ``vector_field``
    is the vector that is embedded.
    """
    fields: Fields = description["fields"]
    yield from _of_the_key(fields)
    yield from _of_the_embedded(fields, description["indexes"], vector_field)
    yield from _of_the_vectors(fields)
    yield from _of_the_functions(description["functions"])
    yield from _of_the_columns(fields)
    yield from _of_the_collection(description, described)


def _of_the_key(fields: Fields) -> Iterator[str]:
    for field in fields:
        if not field["is_primary"]:
            continue
        name, kind = field["name"], field["type"]
        if field["auto_id"] and kind == "VARCHAR":
            yield (
                f"The key '{name}' is assigned by Milvus (auto_id) as VARCHAR, which is not"
                " carried over; one assigned as INT64 is."
            )
        if kind not in _KEY_TYPES:
            yield f"The key '{name}' is {kind}; only INT64 and VARCHAR keys can be ordered."


def _of_the_embedded(fields: Fields, indexes: Fields, name: str) -> Iterator[str]:
    floats = {field["name"]: field for field in fields if field["type"] == FLOAT_VECTOR}
    if not floats:
        yield "There is no FLOAT_VECTOR field, so there is no embedding to migrate."
        return
    if name not in floats:
        yield f"There is no FLOAT_VECTOR field '{name}'; there is {', '.join(floats)}."
        return
    if floats[name]["is_function_output"]:
        yield (
            f"The vector field '{name}' is filled by a function, so Milvus embeds by itself;"
            " no embedding of an application's is there to migrate."
        )
    if all(index["field_name"] != name for index in indexes):
        yield f"The vector field '{name}' has no index, so its metric is unknown; create one."


def _of_the_vectors(fields: Fields) -> Iterator[str]:
    for field in fields:
        name, kind = field["name"], field["type"]
        if "VECTOR" not in kind:
            continue
        if kind not in CARRIED_TYPES:
            yield (
                f"The field '{name}' is {kind}, which cannot be carried over; migrate a collection"
                " without it."
            )
        if field["nullable"] and not field["is_function_output"]:
            yield (
                f"The vector field '{name}' may be null, and a null vector cannot be told from"
                " zeros everywhere; migrate a collection in which it may not."
            )


def _of_the_functions(functions: Fields) -> Iterator[str]:
    for function in functions:
        if function["type"] not in _FUNCTIONS:
            yield (
                f"The function '{function['name']}' is {function['type']}, and only"
                f" {', '.join(sorted(_FUNCTIONS))} is known to give the same in a copy; migrate a"
                " collection without it."
            )


def _of_the_columns(fields: Fields) -> Iterator[str]:
    for field in fields:
        name, kind = field["name"], field["type"]
        if "VECTOR" not in kind and kind not in _SCALARS:
            yield (
                f"The field '{name}' is {kind}, which cannot be read back exactly; migrate a"
                " collection without it."
            )


def _of_the_collection(
    description: Mapping[str, Any], described: Mapping[str, Any]
) -> Iterator[str]:
    for field in described.get("struct_array_fields") or ():
        yield (
            f"The field '{field.get('name', '')}' is an array of structs, which cannot be read back"
            " exactly; migrate a collection without it."
        )
    if description["enable_namespace"]:
        yield (
            "The collection has namespaces, and a row does not tell in which it stands; migrate a"
            " collection with a partition key instead."
        )
    if described.get("external_source"):
        yield (
            "The collection's rows lie in an external source, into which nothing can be written;"
            " migrate a collection that holds them."
        )
    by_key = any(field["is_partition_key"] for field in description["fields"])
    if not by_key and int(described.get("num_partitions") or 1) > 1:
        yield (
            f"There are {described['num_partitions']} partitions, and a key may stand in each;"
            f" insert the rows of the others into '{_DEFAULT_PARTITION}' and drop those, or migrate"
            " a collection with a partition key."
        )
    seconds = str(description["properties"].get(_TTL, "0"))
    if seconds not in {"", "0", "-1"}:
        yield (
            f"Rows expire after {seconds} seconds ({_TTL}), and a copied row would start anew; set"
            " it to 0 for the time of the migration, and on the new collection afterwards."
        )
