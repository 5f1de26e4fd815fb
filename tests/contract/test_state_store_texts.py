"""Which text a row's vector is of: noted after it was written, unknown in between."""

from __future__ import annotations

import pytest

from migrations.model.chunks import Key
from tests.contract.state_store_world import World

A, B = "aa" * 16, "bb" * 16


def known(state: World, *keys: Key, collection: str = "one") -> dict[Key, str]:
    return state.store.embedded_texts(collection, keys or ["k", "l"])


def write(state: World, **texts: str) -> None:
    begun = state.store.begin_texts("one", list(texts))
    state.store.end_texts("one", begun, list(texts.items()))


def test_what_was_written_is_known_by_collection_and_key(state: World) -> None:
    write(state, k=A, l=B)
    assert {"k": A, "l": B} == known(state, "k", "l", "m")
    assert {} == known(state, "k", collection="another")
    assert {} == known(state, "m")


def test_numbers_are_keys_as_well(state: World) -> None:
    begun = state.store.begin_texts("one", [7, 2**62])
    state.store.end_texts("one", begun, [(7, A), (2**62, B)])
    assert {7: A, 2**62: B} == known(state, 7, 2**62, 8)


def test_what_is_being_written_again_is_noted_as_not_known(state: World) -> None:
    write(state, k=A, l=B)
    begun = state.store.begin_texts("one", ["k"])
    assert {"k": "", "l": B} == known(state)
    state.store.end_texts("one", begun, [("k", B)])
    assert {"k": B, "l": B} == known(state)


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_of_two_who_write_a_row_at_once_neither_says_what_it_is_of(
    state: World, first_ends_first: bool
) -> None:
    first, second = (state.store.begin_texts("one", ["k", "l"]) for _ in range(2))
    ends = [(first, A), (second, B)]
    for begun, digest in ends if first_ends_first else reversed(ends):
        state.store.end_texts("one", begun, [("k", digest)])
    assert {"k": "", "l": ""} == known(state)
    write(state, k=A)
    assert {"k": A, "l": ""} == known(state)


def test_what_is_found_is_noted_and_a_text_that_differs_from_the_note_makes_it_unknown(
    state: World,
) -> None:
    write(state, k=A)
    state.store.begin_texts("one", ["m"])
    state.store.note_texts("one", [("k", A), ("l", B), ("m", B)])
    assert {"k": A, "l": B, "m": ""} == known(state, "k", "l", "m")
    state.store.note_texts("one", [("k", B), ("l", B)])
    assert {"k": "", "l": B} == known(state)
    state.store.note_texts("one", [("k", A)])
    assert {"k": "", "l": B} == known(state)


def test_what_is_forgotten_meanwhile_is_not_noted(state: World) -> None:
    write(state, k=A, l=B)
    begun = state.store.begin_texts("one", ["k"])
    state.store.forget_texts("one", ["k"])
    state.store.end_texts("one", begun, [("k", A)])
    assert {"l": B} == known(state)
    state.store.forget_texts("one")
    assert {} == known(state)


def test_nothing_is_asked_for_nothing(state: World) -> None:
    state.store.end_texts("one", state.store.begin_texts("one", []), [])
    state.store.note_texts("one", [])
    assert {} == state.store.embedded_texts("one", [])
