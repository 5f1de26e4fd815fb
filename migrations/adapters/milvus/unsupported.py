"""What of a collection cannot be carried over exactly, each with a way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_KEY_TYPES = frozenset({"INT64", "VARCHAR"})
_SCALARS = frozenset(
    {"BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR", "JSON", "ARRAY"}
)
_DEFAULT_PARTITION = "_default"
_TTL = "collection.ttl.seconds"

Fields = Sequence[Mapping[str, Any]]


def reasons(description: Mapping[str, Any], described: Mapping[str, Any]) -> Iterator[str]:
    """A sentence per feature that stands in the way; none for an ordinary collection.

    ``description`` is our canonical one, ``described`` the answer of Milvus.
    """
    fields: Fields = description["fields"]
    yield from _of_the_key(fields)
    yield from _of_the_vectors(fields, description["indexes"])
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


def _of_the_vectors(fields: Fields, indexes: Fields) -> Iterator[str]:
    vectors = [field for field in fields if "VECTOR" in field["type"]]
    floats = [field["name"] for field in vectors if field["type"] == "FLOAT_VECTOR"]
    for field in vectors:
        if field["type"] != "FLOAT_VECTOR":
            yield (
                f"The field '{field['name']}' is {field['type']}, which is not carried over yet;"
                " drop it or migrate a collection without it."
            )
    if not floats:
        yield "There is no FLOAT_VECTOR field, so there is no embedding to migrate."
    if len(floats) > 1:
        yield (
            f"There are several FLOAT_VECTOR fields ({', '.join(floats)}); split them into"
            " collections of one vector each."
        )
    indexed = {index["field_name"] for index in indexes}
    for name in floats:
        if name not in indexed:
            yield f"The vector field '{name}' has no index, so its metric is unknown; create one."


def _of_the_columns(fields: Fields) -> Iterator[str]:
    for field in fields:
        name, kind = field["name"], field["type"]
        if field["is_partition_key"]:
            yield f"The field '{name}' is a partition key, which is not carried over yet."
        if field["is_clustering_key"]:
            yield f"The field '{name}' is a clustering key, which is not carried over yet."
        if field["nullable"] and "default_value" in field:
            yield (
                f"The field '{name}' is nullable and has a default, so a null would become the"
                " default in a copy; drop one of the two."
            )
        if "VECTOR" not in kind and kind not in _SCALARS:
            yield f"The field '{name}' is {kind}, which cannot be read back exactly."


def _of_the_collection(
    description: Mapping[str, Any], described: Mapping[str, Any]
) -> Iterator[str]:
    for function in described.get("functions") or ():
        yield (
            f"The function '{function.get('name', '')}' computes a field from others, which is"
            " not carried over yet; drop it or migrate a collection without it."
        )
    if int(described.get("num_partitions") or 1) > 1:
        yield (
            f"There are {described['num_partitions']} partitions; only collections with nothing"
            f" but '{_DEFAULT_PARTITION}' are carried over yet."
        )
    seconds = str(description["properties"].get(_TTL, "0"))
    if seconds not in {"", "0", "-1"}:
        yield (
            f"Rows expire after {seconds} seconds ({_TTL}), and a copied row would start anew;"
            " remove the property first."
        )
