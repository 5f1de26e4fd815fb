"""What of a chunk its collection cannot take: told before it is acknowledged, not afterwards."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrations.model.chunks import CollectionSchema, Key
from migrations.model.errors import ChunksInvalid, WritesUnsupported
from migrations.model.texts import Recipe, SqlRecipe
from migrations.model.writes import Write, WriteKind

#: Milvus takes no larger value of a JSON column, the dynamic field included; in bytes.
MOST_JSON_BYTES = 65_536
#: The column that holds the dynamic field; nobody writes to it by this name.
_DYNAMIC = "$meta"
_LARGEST_FLOAT = 3.4028234663852886e38
#: What is wrong with more chunks than these is not told one by one.
_MOST_TOLD = 50

Column = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, with the field it is about, if any."""

    field: str | None
    code: str
    message: str


def require_writable(schema: CollectionSchema, recipe: Recipe) -> None:
    """Raises WritesUnsupported for a collection of which no chunk can be written whole by key."""
    if isinstance(recipe, SqlRecipe):
        raise WritesUnsupported(
            f"The texts of '{schema.name}' stand in a table of your own, so that no chunk brings "
            "its text; write to Milvus yourself, as before."
        )
    if schema.key_is_given:
        raise WritesUnsupported(
            f"Milvus gives the keys of '{schema.name}' (auto_id), so that a chunk cannot be "
            "written by its key; write to Milvus yourself, as before."
        )
    others = [
        column["name"]
        for column in _columns(schema)
        if "VECTOR" in column.get("type", "")
        and column["name"] != schema.vector_field
        and not column.get("is_function_output")
    ]
    if others:
        raise WritesUnsupported(
            f"'{schema.name}' has further vectors ({', '.join(others)}), which we cannot make; "
            "write to Milvus yourself, as before."
        )


def check(schema: CollectionSchema, recipe: Recipe, writes: Sequence[Write]) -> None:
    """Raises ChunksInvalid, with everything that is wrong; WritesUnsupported."""
    require_writable(schema, recipe)
    errors = [
        {"in": "body", "path": _path(write, number, fault), **_told(fault)}
        for number, write in enumerate(writes)
        for fault in _faults(schema, recipe, write)
    ]
    if errors:
        more = f" ({len(errors) - 1} more in 'errors'.)" if len(errors) > 1 else ""
        sentence = f"{errors[0]['path']}: {errors[0]['message']}{more}"
        raise ChunksInvalid(sentence, errors=errors[:_MOST_TOLD])


def _told(fault: Fault) -> dict[str, str]:
    return {"code": fault.code, "message": fault.message}


def _path(write: Write, number: int, fault: Fault) -> str:
    if write.kind is WriteKind.DELETE:
        return f"$.keys[{number}]"
    if fault.code == "key":
        return f"$.chunks[{number}].key"
    path = f"$.chunks[{number}].fields"
    if fault.field is None:
        return path
    name = fault.field[:100]
    return f"{path}.{name}" if name.isidentifier() else f"{path}[{json.dumps(name)}]"


def _faults(schema: CollectionSchema, recipe: Recipe, write: Write) -> Iterator[Fault]:
    if wrong := _wrong_key(schema, write.key):
        yield Fault(None, "key", wrong)
    if write.kind is WriteKind.DELETE:
        return
    found = list(_faults_of_fields(schema, write))
    yield from found
    if not found and not recipe.text_of(write.fields):
        yield Fault(None, "no_text", f"There is no text to embed; it is {recipe}.")


def _wrong_key(schema: CollectionSchema, key: Key) -> str | None:
    if not schema.key_is_string:
        return _wrong_int(key, 64)
    column = _column(schema, schema.key_field)
    if key == "":
        return "Must not be empty."
    return _wrong_text(column.get("params", {}), key)


def _faults_of_fields(schema: CollectionSchema, write: Write) -> Iterator[Fault]:
    columns = {column["name"]: column for column in _columns(schema)}
    is_dynamic = bool(schema.description.get("enable_dynamic_field"))
    members = {}
    for name, value in write.fields.items():
        column = columns.get(name)
        if name == schema.key_field:
            yield Fault(name, "key_twice", "The key stands beside the fields, as 'key'.")
        elif column is not None and _is_made(schema, column):
            yield Fault(name, "made_by_us", "It is made of the text; leave it out.")
        elif column is not None:
            if wrong := _wrong(column, value):
                yield Fault(name, "invalid", wrong)
        elif not is_dynamic or name == _DYNAMIC:
            known = ", ".join(n for n, c in columns.items() if not _is_made(schema, c))
            yield Fault(name, "unknown", f"There is no such field; there are: {known}.")
        else:
            members[name] = value
    if wrong := _wrong_json(members):
        yield Fault(None, "invalid", f"Members of the dynamic field: {wrong}")
    for name, column in columns.items():
        if name not in write.fields and _is_needed(schema, column):
            yield Fault(name, "missing", "This field is required.")


def _columns(schema: CollectionSchema) -> Sequence[Column]:
    return list(schema.description.get("fields", ()))


def _column(schema: CollectionSchema, name: str) -> Column:
    return next((column for column in _columns(schema) if column["name"] == name), {})


def _is_made(schema: CollectionSchema, column: Column) -> bool:
    """By the model, or by a function of Milvus."""
    is_vector = column["name"] == schema.vector_field or "VECTOR" in column.get("type", "")
    return is_vector or bool(column.get("is_function_output"))


def _is_needed(schema: CollectionSchema, column: Column) -> bool:
    if column["name"] == schema.key_field or _is_made(schema, column):
        return False
    return not column.get("nullable") and "default_value" not in column


def _wrong(column: Column, value: Any) -> str | None:
    """What is wrong with a value, in a sentence."""
    if value is None:
        return None if column.get("nullable") else "Must not be null."
    kind = column.get("type", "")
    if kind == "ARRAY":
        return _wrong_array(column, value)
    judge = _JUDGES.get(kind)
    return judge(column.get("params", {}), value) if judge else None


def _wrong_array(column: Column, value: Any) -> str | None:
    if not isinstance(value, list):
        return "Must be a list."
    params = column.get("params", {})
    most = int(params.get("max_capacity", 4096))
    if len(value) > most:
        return f"Must have at most {most} elements."
    judge = _JUDGES.get(column.get("element_type", ""))
    wrong = (judge(params, one) for one in value) if judge else iter(())
    first = next((sentence for sentence in wrong if sentence), None)
    return f"Each element: {first}" if first else None


def _wrong_text(params: Mapping[str, Any], value: Any) -> str | None:
    if not isinstance(value, str):
        return "Must be a string."
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        return "Must be valid Unicode."
    most = int(params.get("max_length", 65_535))
    return None if length <= most else f"Must have at most {most} bytes, and has {length}."


def _wrong_int(value: Any, bits: int) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return "Must be a whole number."
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        return f"Must fit into {bits} bits."
    return None


def _wrong_float(value: Any, largest: float) -> str | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "Must be a number."
    if not math.isfinite(value) or abs(value) > largest:
        return "Must be a number that the column can hold."
    return None


def _wrong_bool(value: Any) -> str | None:
    return None if isinstance(value, bool) else "Must be true or false."


def _wrong_json(value: Any) -> str | None:
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except UnicodeEncodeError:
        return "Must be valid Unicode."
    except RecursionError:
        return "Must not be nested so deeply."
    except ValueError:
        return "Must be JSON, which has no NaN and no infinity."
    most = MOST_JSON_BYTES
    return None if size <= most else f"Must have at most {most} bytes, and has {size}."


_JUDGES: Mapping[str, Callable[[Mapping[str, Any], Any], str | None]] = {
    "INT8": lambda _, v: _wrong_int(v, 8),
    "INT16": lambda _, v: _wrong_int(v, 16),
    "INT32": lambda _, v: _wrong_int(v, 32),
    "INT64": lambda _, v: _wrong_int(v, 64),
    "FLOAT": lambda _, v: _wrong_float(v, _LARGEST_FLOAT),
    "DOUBLE": lambda _, v: _wrong_float(v, math.inf),
    "BOOL": lambda _, v: _wrong_bool(v),
    "VARCHAR": _wrong_text,
    "JSON": lambda _, v: _wrong_json(v),
}
