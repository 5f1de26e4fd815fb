"""Filters are text, and keys must not become grammar."""

from __future__ import annotations

import pytest

from migrations.adapters.milvus.filters import (
    KEYS_PER_FILTER,
    each_of,
    in_range,
    literal,
    one_of,
)
from migrations.model.chunks import ALL_KEYS, Key, KeyRange


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("plain", '"plain"'),
        ('a" or pk > "', r'"a\" or pk > \""'),
        ("it's", '"it\'s"'),
        ("back\\", r'"back\\"'),
        ('\\"', r'"\\\""'),
        ("line\nreturn\rtab\t", r'"line\nreturn\rtab\t"'),
        ("{k} % _ é 😀 \x01", '"{k} % _ é 😀 \x01"'),
        ("", '""'),
        (-5, "-5"),
    ],
)
def test_a_key_is_written_so_that_it_ends_where_it_should(key: Key, expected: str) -> None:
    assert expected == literal(key)


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        (KeyRange("a", "b"), 'pk > "a" and pk <= "b"'),
        (KeyRange(None, "b"), 'pk <= "b"'),
        (KeyRange("a", None), 'pk > "a"'),
        (ALL_KEYS, 'pk >= ""'),
        (KeyRange("", None), 'pk > ""'),
    ],
)
def test_a_range_of_text_keys_is_open_below_and_closed_above(
    within: KeyRange, expected: str
) -> None:
    assert expected == in_range("pk", within, key_is_string=True)


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        (KeyRange(-2, 0), "pk > -2 and pk <= 0"),
        (ALL_KEYS, "(pk >= 0 or pk < 0)"),
        (KeyRange(-(2**63), -(2**63) + 1), f"pk >= -{2**63 - 1} and pk <= -{2**63 - 1}"),
        (KeyRange(None, -(2**63)), f"pk < -{2**63 - 1}"),
    ],
)
def test_no_range_of_numbers_writes_the_number_that_the_grammar_cannot(
    within: KeyRange, expected: str
) -> None:
    assert expected == in_range("pk", within, key_is_string=False)


def test_a_list_of_keys_names_each_key_once_and_the_least_number_by_range() -> None:
    assert 'pk in ["a", "b\\""]' == one_of("pk", ["a", 'b"'])
    assert f"pk in [3] or pk < -{2**63 - 1}" == one_of("pk", [-(2**63), 3])


def test_many_keys_are_asked_for_in_several_filters() -> None:
    keys: list[Key] = list(range(KEYS_PER_FILTER + 1))
    first, second = each_of("pk", keys)
    assert first == one_of("pk", keys[:-1])
    assert second == "pk in [1000]"
    assert [] == list(each_of("pk", []))
