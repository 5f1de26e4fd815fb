"""Maps of keys that Milvus gives: what was announced, what was given, and both ways through it."""

from __future__ import annotations

from migrations.model.chunks import ALL_KEYS, KeyRange
from migrations.model.given_keys import Intent, Mapped, Pair
from tests.contract.state_store_world import World

FORTH = Mapped(keyed_as="old", collection="new")
BACK = Mapped(keyed_as="new", collection="old")
A, B = b"a" * 16, b"b" * 16
BIG = 2**62


def give(state: World, mapped: Mapped, **pairs: int) -> None:
    """Pairs like ``k1=101``: told by 1, stored under 101."""
    keys = [(int(name[1:]), A) for name in pairs]
    ids = state.store.intend(mapped, keys)
    state.store.give(mapped, list(zip(ids, pairs.values(), strict=True)))


def test_what_was_given_is_found_from_both_sides_and_both_ways(state: World) -> None:
    give(state, FORTH, k1=101, k2=BIG)
    assert [Pair(2, BIG)] == state.store.pairs_of(FORTH, [2, 3])
    assert {101: 1} == state.store.told_of(FORTH, [101, 1])
    assert [Pair(101, 1)] == state.store.pairs_of(BACK, [101])
    assert {1: 101, 2: BIG} == state.store.told_of(BACK, [1, 2])
    assert [] == state.store.intents(FORTH)


def test_nothing_is_found_in_a_map_that_is_not_there(state: World) -> None:
    assert [] == state.store.pairs_of(FORTH, [1])
    assert [] == state.store.pairs_within(FORTH, ALL_KEYS, 10)
    assert ({}, []) == (state.store.told_of(FORTH, [1]), state.store.intents(FORTH))
    assert [] == state.store.key_map("old", "new", None, 10)


def test_pages_hold_whole_chunks_in_the_order_in_which_they_are_told(state: World) -> None:
    give(state, FORTH, k3=101, k1=105)
    give(state, FORTH, k1=103, k2=104)
    first = state.store.pairs_within(FORTH, ALL_KEYS, 1)
    assert [Pair(1, 103), Pair(1, 105)] == first
    assert [Pair(2, 104), Pair(3, 101)] == state.store.pairs_within(FORTH, KeyRange(1, None), 10)
    assert [Pair(2, 104)] == state.store.pairs_within(FORTH, KeyRange(1, 2), 10)


def test_a_stored_key_belongs_to_the_chunk_that_it_was_given_last(state: World) -> None:
    give(state, FORTH, k1=101)
    give(state, FORTH, k2=101)
    assert [Pair(2, 101)] == state.store.pairs_of(FORTH, [1, 2])
    assert {101: 2} == state.store.told_of(FORTH, [101])


def test_seen_from_the_way_back_a_chunk_is_told_by_its_newest_key_only(state: World) -> None:
    give(state, FORTH, k1=101)
    give(state, FORTH, k1=102)
    assert [Pair(102, 1)] == state.store.pairs_within(BACK, ALL_KEYS, 10)


def test_what_is_written_on_the_way_back_joins_the_same_map(state: World) -> None:
    give(state, FORTH, k1=101)
    give(state, BACK, k102=2)
    assert [Pair(1, 101), Pair(2, 102)] == state.store.pairs_within(FORTH, ALL_KEYS, 10)


def test_what_was_announced_and_not_given_stays_known_on_its_side(state: World) -> None:
    first, second = state.store.intend(FORTH, [(1, A), (2, B)])
    state.store.give(FORTH, [(first, 101)])
    assert [Intent(second, 2, B)] == state.store.intents(FORTH)
    assert [Intent(second, 2, B)] == state.store.intents(FORTH, [2])
    assert [] == state.store.intents(FORTH, [1])
    assert [] == state.store.intents(BACK)


def test_giving_once_more_changes_nothing(state: World) -> None:
    [intent] = state.store.intend(FORTH, [(1, A)])
    state.store.give(FORTH, [(intent, 101)])
    state.store.give(FORTH, [(intent, 102)])
    assert [Pair(1, 101)] == state.store.pairs_of(FORTH, [1])


def test_the_map_is_told_in_pages_with_the_newest_key_of_each_chunk(state: World) -> None:
    give(state, FORTH, k1=101, k2=102, k3=103)
    give(state, FORTH, k2=104)
    assert [(1, 101), (2, 104)] == state.store.key_map("old", "new", None, 2)
    assert [(3, 103)] == state.store.key_map("old", "new", 2, 2)


def test_a_collection_that_is_gone_takes_its_maps_along(state: World) -> None:
    give(state, FORTH, k1=101)
    state.store.intend(FORTH, [(2, B)])
    give(state, Mapped("others", "their_new"), k1=201)
    state.store.forget_keys("old")
    assert ([], []) == (state.store.pairs_of(FORTH, [1]), state.store.intents(FORTH))
    assert [Pair(1, 201)] == state.store.pairs_of(Mapped("others", "their_new"), [1])


def test_keys_that_come_after_their_map_was_forgotten_are_let_go(state: World) -> None:
    [intent] = state.store.intend(FORTH, [(1, A)])
    state.store.forget_keys("new")
    state.store.give(FORTH, [(intent, 101)])
    assert [] == state.store.pairs_of(FORTH, [1])
