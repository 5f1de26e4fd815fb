"""Filter expressions: the one place that puts a primary key into one.

A filter is a string and keys are foreign input, so a key becomes a literal with
the few escapes that the grammars of Milvus and of milvus-lite both read. All
other characters stand for themselves: milvus-lite reads no ``\\u`` escape.
Neither engine, in the versions tested, reads pymilvus' filter templates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrations.model.chunks import Key, KeyRange
from migrations.model.errors import SearchRefused

#: Keys in one filter; the grammar's parser is the limit, not the network.
KEYS_PER_FILTER = 1_000
INT64_MIN = -(2**63)
#: The smallest number the grammar can write: it reads a minus and then a number,
#: and 2**63 itself is no INT64.
_LEAST_LITERAL = INT64_MIN + 1
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def literal(key: Key) -> str:
    """A key as the filter grammar writes it."""
    if isinstance(key, str):
        return f'"{key.translate(_ESCAPES)}"'
    return str(int(key))


def one_of(key_field: str, keys: Sequence[Key]) -> str:
    """True for the rows of these keys."""
    written = [literal(key) for key in keys if key != INT64_MIN]
    listed = f"{key_field} in [{', '.join(written)}]"
    if len(written) == len(keys):
        return listed
    return f"{listed} or {key_field} < {_LEAST_LITERAL}"


def each_of(key_field: str, keys: Sequence[Key]) -> Iterator[str]:
    """Filters that together are true for the rows of all these keys."""
    for start in range(0, len(keys), KEYS_PER_FILTER):
        yield one_of(key_field, keys[start : start + KEYS_PER_FILTER])


def in_range(key_field: str, within: KeyRange, *, key_is_string: bool) -> str:
    """True for the rows of a key range; of all rows for the unbounded one.

    Never empty: an empty filter is refused with some queries, and milvus-lite
    answers its count from a statistic.
    """
    bounds = [*_above(key_field, within.after), *_up_to(key_field, within.upto)]
    if bounds:
        return " and ".join(bounds)
    if key_is_string:
        return f'{key_field} >= ""'
    return f"({key_field} >= 0 or {key_field} < 0)"


def _above(key_field: str, after: Key | None) -> list[str]:
    if after is None:
        return []
    if after == INT64_MIN:
        return [f"{key_field} >= {_LEAST_LITERAL}"]
    return [f"{key_field} > {literal(after)}"]


def _up_to(key_field: str, upto: Key | None) -> list[str]:
    if upto is None:
        return []
    if upto == INT64_MIN:
        return [f"{key_field} < {_LEAST_LITERAL}"]
    return [f"{key_field} <= {literal(upto)}"]


#: A text in quotes, in which braces stand for themselves, or a parameter's place.
_PLACE = re.compile(r"""\"(?:\\.|[^"\\])*\"|'(?:\\.|[^'\\])*'|\{\s*(\w+)\s*\}""")


def filled(expression: str, parameters: Mapping[str, Any]) -> str:
    """A reader's expression, with a literal in the place of each parameter.

    Raises:
        SearchRefused: it names a parameter that is not given, or not one that is.
    """
    used: set[str] = set()

    def fill(place: re.Match[str]) -> str:
        name = place.group(1)
        if name is None:
            return place.group()
        if name not in parameters:
            raise SearchRefused(f"The filter names {{{name}}}, and filter_params has no {name!r}.")
        used.add(name)
        return _value(parameters[name])

    written = _PLACE.sub(fill, expression)
    unused = sorted(parameters.keys() - used)
    if unused:
        raise SearchRefused(f"The filter names no {{{unused[0]}}}, which filter_params has.")
    return written


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            raise SearchRefused("A parameter of a filter must be a finite number.")
        return repr(value)
    if isinstance(value, str | int):
        return literal(value)
    return f"[{', '.join(map(_value, value))}]"
