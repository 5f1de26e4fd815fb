"""What every implementation of VectorStore promises: the fake, milvus-lite and Milvus alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from migrations.model.chunks import ALL_KEYS, Chunk, CollectionSchema, IndexState, Key, KeyRange
from migrations.model.errors import (
    CollectionNotFound,
    CollectionNotLoaded,
    DimensionMismatch,
    ForeignCollection,
    VectorStoreRefused,
)
from migrations.ports.vector_store import VectorStore
from tests.contract.vector_store_world import World, chunk, open_world, vectors, wait_until, write

#: Keys that break a filter made by formatting, in key order once sorted.
NASTY: list[Key] = [
    "",
    " ",
    "007",
    'a"b',
    "a'b",
    "a\\b",
    'a\\"b',
    "a\\",
    "a\nb",
    "a\tb",
    "a\x01b",
    "a\x7fb",
    "a\u2028b",
    "{k}",
    "%",
    "_",
    'a" or pk > "',
    "é",
    "e\u0301",
    "漢字",
    "\uffee",
    "\U0001f600",
]
INTEGERS: list[Key] = [-(2**63), -(2**63) + 1, -5, -1, 0, 7, 2**53 + 1, 2**63 - 2]

ON_A_COLLECTION: dict[str, Callable[[VectorStore, CollectionSchema], Any]] = {
    "describe": lambda s, c: s.describe(c.name),
    "owner_tag": lambda s, c: s.owner_tag(c.name),
    "replicas": lambda s, c: s.replicas(c.name),
    "is_loaded": lambda s, c: s.is_loaded(c.name),
    "begin_loading": lambda s, c: s.begin_loading(c.name),
    "load": lambda s, c: s.load(c.name),
    "release": lambda s, c: s.release(c.name),
    "flush": lambda s, c: s.flush(c.name),
    "index_state": lambda s, c: s.index_state(c.name),
    "point_alias": lambda s, c: s.point_alias(f"{c.name}_by", c.name),
    "aliases_of": lambda s, c: s.aliases_of(c.name),
    "count": lambda s, c: s.count(c.name),
    "scan_keys": lambda s, c: list(s.scan_keys(c)),
    "scan": lambda s, c: list(s.scan(c)),
    "read": lambda s, c: s.read(c, ALL_KEYS),
    "fetch": lambda s, c: s.fetch(c, ["a"]),
    "upsert": lambda s, c: write(s, c, [chunk("a")]),
    "delete": lambda s, c: s.delete(c, ["a"]),
    "search": lambda s, c: s.search(c, vectors(1), limit=1, output_fields=["text"]),
}


@pytest.fixture(
    params=[
        "fake",
        "fake-unordered",
        "milvus-lite",
        "milvus-standalone",
        "milvus-standalone-named",
    ]
)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = open_world(request.param, request.getfixturevalue)
    yield world
    world.clean()


def keys_of(chunks: list[Chunk]) -> list[Key]:
    return [each.key for each in chunks]


# --- collections ----------------------------------------------------------------


def test_only_milvus_lite_is_flushed_before_it_is_read(
    world: World, request: pytest.FixtureRequest
) -> None:
    is_lite = request.node.callspec.params["world"] == "milvus-lite"
    assert is_lite == world.store.is_flushed_before_read()


def test_a_collection_is_described_by_its_name_and_by_its_alias(world: World) -> None:
    made = world.collection(strings=False)
    alias = world.name()
    world.store.point_alias(alias, made.name)

    assert made == world.store.describe(alias)
    assert ("pk", False, "vector", 8, "COSINE", ("text",), ()) == (
        made.key_field,
        made.key_is_string,
        made.vector_field,
        made.dimension,
        made.metric,
        made.text_candidates,
        made.unsupported,
    )


def test_a_copy_differs_from_its_source_in_nothing_but_dimension_and_name(world: World) -> None:
    source, name = world.collection(), world.name()

    made = world.store.create_like(source, name, 16, "migration 1")

    assert (name, 16, []) == (made.name, made.dimension, source.differences(made))
    assert made == world.store.describe(name)
    world.store.load(name)
    assert world.store.is_loaded(name)
    assert ("migration 1", None) == (
        world.store.owner_tag(name),
        world.store.owner_tag(source.name),
    )
    assert world.store.exists(name)


def test_a_released_collection_keeps_its_rows_and_is_read_again_once_loaded(world: World) -> None:
    schema = world.collection()
    write(world.store, schema, [chunk("a"), chunk("b")])
    world.store.flush(schema.name)
    world.store.release(schema.name)
    assert not world.store.is_loaded(schema.name)
    with pytest.raises(CollectionNotLoaded) as refused:
        world.store.fetch(schema, ["a"])
    assert schema.name == refused.value.details["collection"]
    world.store.release(schema.name)
    world.store.load(schema.name)
    assert world.store.is_loaded(schema.name)
    assert ["a", "b"] == [one.key for one in world.store.fetch(schema, ["a", "b"])]


def test_a_copy_is_filled_without_being_loaded_and_read_once_it_is(
    world: World, request: pytest.FixtureRequest
) -> None:
    source, name = world.collection(), world.name()
    made = world.store.create_like(source, name, 16, "migration 1")
    written = [chunk(f"k{i:02}") for i in range(20)]

    write(world.store, made, written)
    loads_what_it_makes = request.node.callspec.params["world"] == "milvus-lite"
    assert loads_what_it_makes == world.store.is_loaded(name)
    world.store.flush(name)
    assert IndexState(20, 20) == world.store.index_state(name)
    world.store.load(name)

    assert [one.key for one in written] == keys_of(world.store.read(made, ALL_KEYS, strong=True))


def test_loading_that_has_begun_is_waited_for_and_rows_are_written_meanwhile(world: World) -> None:
    source, name = world.collection(), world.name()
    made = world.store.create_like(source, name, 16, "migration 1")

    world.store.begin_loading(name)
    write(world.store, made, [chunk("a")])
    world.store.begin_loading(name)
    world.store.load(name)

    assert 1 == world.store.count(name)


def test_a_copy_of_the_same_owner_is_adopted_with_its_rows(world: World) -> None:
    source, name = world.collection(), world.name()
    made = world.store.create_like(source, name, 16, "migration 1")
    world.store.load(name)
    write(world.store, made, [chunk("a")])

    assert made == world.store.create_like(source, name, 16, "migration 1")
    assert 1 == world.store.count(name)


def test_somebody_elses_collection_is_neither_adopted_nor_touched(world: World) -> None:
    source, ours, alias = world.collection(), world.name(), world.name()
    world.store.create_like(source, ours, 16, "migration 1")
    world.store.point_alias(alias, ours)

    for name, tag in ((ours, "migration 2"), (source.name, "migration 1"), (alias, "migration 1")):
        with pytest.raises(ForeignCollection):
            world.store.create_like(source, name, 16, tag)

    assert "migration 1" == world.store.owner_tag(ours)
    assert world.store.owner_tag(source.name) is None


def test_dropping_what_is_gone_is_no_error_and_dropping_an_alias_is_refused(world: World) -> None:
    made, alias = world.collection(), world.name()
    world.store.point_alias(alias, made.name)

    with pytest.raises(VectorStoreRefused):
        world.store.drop(alias)
    still_there = world.store.exists(made.name)
    world.drop_alias(alias)
    world.store.drop(made.name)
    world.store.drop(made.name)

    assert still_there
    assert not world.store.exists(made.name)


def test_a_collection_that_is_gone_is_said_to_be_gone(world: World) -> None:
    made = world.collection()
    world.store.drop(made.name)

    for method, call in ON_A_COLLECTION.items():
        with pytest.raises(CollectionNotFound):
            pytest.fail(f"{method} answered {call(world.store, made)!r}")


# --- aliases --------------------------------------------------------------------


def test_a_collection_gets_another_name_and_its_old_one_becomes_an_alias_and_back(
    world: World,
) -> None:
    made, other = world.collection(), world.name()
    written = write(world.store, made, [chunk("a")])
    world.store.load(made.name)

    world.store.rename(made.name, other)
    world.store.point_alias(made.name, other)
    assert (other, [made.name]) == (
        world.store.resolve_alias(made.name),
        world.store.aliases_of(other),
    )
    by_alias = world.store.describe(made.name)
    assert other == by_alias.name
    found = world.store.search(
        replace(by_alias, name=made.name), written, limit=1, output_fields=[]
    )
    assert [["a"]] == [[hit.key for hit in hits] for hits in found]

    world.store.drop_alias(made.name)
    world.store.drop_alias(made.name)
    world.store.rename(other, made.name)
    assert world.store.resolve_alias(made.name) is None
    assert (True, False) == (world.store.exists(made.name), world.store.exists(other))
    assert ["a"] == keys_of(world.store.fetch(made, ["a"]))


def test_a_name_that_is_taken_is_refused(world: World) -> None:
    made, other = world.collection(), world.collection()
    with pytest.raises(VectorStoreRefused):
        world.store.rename(made.name, other.name)
    world.store.drop(other.name)
    with pytest.raises(CollectionNotFound):
        world.store.rename(other.name, world.name())


def test_an_alias_is_made_moved_and_resolved(world: World) -> None:
    first, second, alias = world.collection(), world.collection(), world.name()
    resolved = [world.store.resolve_alias(alias)]
    for target in (first, first, second):
        world.store.point_alias(alias, target.name)
        resolved.append(world.store.resolve_alias(alias))
    on_both = [world.store.aliases_of(first.name), world.store.aliases_of(second.name)]
    world.drop_alias(alias)

    assert [None, first.name, first.name, second.name] == resolved
    assert [[], [alias]] == on_both
    assert world.store.resolve_alias(alias) is None


def test_an_alias_of_a_dropped_collection_can_be_pointed_elsewhere(world: World) -> None:
    gone, here, alias = world.collection(), world.collection(), world.name()
    world.store.point_alias(alias, gone.name)
    world.store.drop(gone.name)
    assert not world.store.exists(alias)

    world.store.point_alias(alias, here.name)

    assert here.name == world.store.resolve_alias(alias)
    assert here == world.store.describe(alias)


def test_an_alias_that_several_make_at_once_is_made_for_all_of_them(world: World) -> None:
    # A bot is registered and the watchdog puts its missing alias right, both at that moment.
    made, aliases = world.collection(), [world.name() for _ in range(5)]
    together = Barrier(4)

    def point(alias: str) -> None:
        together.wait(timeout=60)
        world.store.point_alias(alias, made.name)

    with ThreadPoolExecutor(together.parties) as threads:
        for alias in aliases:
            for pointed in [threads.submit(point, alias) for _ in range(together.parties)]:
                pointed.result()

    assert sorted(aliases) == world.store.aliases_of(made.name)


def test_an_alias_of_a_collections_name_is_refused(world: World) -> None:
    first, second = world.collection(), world.collection()

    with pytest.raises(VectorStoreRefused):
        world.store.point_alias(first.name, second.name)


# --- rows -----------------------------------------------------------------------


def test_writing_a_key_twice_leaves_one_row_with_the_second_content(world: World) -> None:
    made = world.collection()
    write(world.store, made, [chunk("a", "first", tag="old"), chunk("b")])
    world.store.flush(made.name)
    second = vectors(1, seed=8)
    world.store.upsert(made, [chunk("a", "second")], second)

    [found] = world.store.fetch(made, ["a"], with_vectors=True)

    assert 2 == world.store.count(made.name)
    assert {"pk": "a", "text": "second"} == found.fields
    assert found.vector is not None
    assert np.array_equal(second[0], found.vector)


def test_one_upsert_with_a_key_twice_is_an_error_and_writes_nothing(world: World) -> None:
    made = world.collection()

    with pytest.raises(ValueError, match="distinct"):
        world.store.upsert(made, [chunk("a"), chunk("a")], vectors(2))
    with pytest.raises(DimensionMismatch):
        world.store.upsert(made, [chunk("a")], vectors(1, dimension=9))

    assert 0 == world.store.count(made.name)


def test_an_upsert_of_nothing_and_a_delete_of_nothing_do_nothing(world: World) -> None:
    made = world.collection()
    write(world.store, made, [chunk("a")])

    world.store.upsert(made, [], vectors(0))
    world.store.delete(made, [])

    assert [] == world.store.fetch(made, [])
    assert ["a"] == keys_of(world.store.read(made, ALL_KEYS, strong=True))


def test_what_was_written_some_seconds_ago_is_seen_as_of_lately(world: World) -> None:
    made = world.collection()
    write(world.store, made, [chunk("a"), chunk("b")])
    time.sleep(2.5)
    lately = world.store.lately()
    assert ["a", "b"] == [key for page in world.store.scan_keys(made, as_of=lately) for key in page]
    assert ["a", "b"] == [c.key for page in world.store.scan(made, as_of=lately) for c in page]
    assert 2 == world.store.count(made.name, as_of=lately)


@pytest.mark.parametrize("strings", [True, False], ids=["VARCHAR", "INT64"])
def test_a_scan_is_complete_and_in_order_after_upserts_deletes_and_flush(
    world: World, strings: bool
) -> None:
    made = world.collection(strings=strings)
    keys: list[Key] = [f"k{i:05d}" if strings else i - 1500 for i in range(3000)]
    random.Random(3).shuffle(keys)
    for start in range(0, 3000, 1000):
        write(world.store, made, [chunk(key) for key in keys[start : start + 1000]])
        if start == 1000:
            world.store.flush(made.name)
    write(world.store, made, [chunk(key, "again") for key in keys[:100]])
    world.store.delete(made, keys[100:150])
    left = sorted(set(keys) - set(keys[100:150]))
    within = KeyRange(left[400], left[2400])

    pages = list(world.store.scan_keys(made, page_size=700))
    part = [key for page in world.store.scan_keys(made, within) for key in page]
    chunks = [each for page in world.store.scan(made, page_size=1500) for each in page]
    few = world.store.read(made, KeyRange(left[9], left[59]))

    assert left == [key for page in pages for key in page]
    assert max(map(len, pages)) <= 700
    assert left[401:2401] == part
    assert left == keys_of(chunks)
    assert set(keys[:100]) == {each.key for each in chunks if each.fields["text"] == "again"}
    assert left[10:60] == keys_of(few)
    assert (2950, 2000) == (world.store.count(made.name), world.store.count(made.name, within))


@pytest.mark.parametrize("keys", [NASTY, INTEGERS], ids=["VARCHAR", "INT64"])
def test_no_key_is_too_nasty_for_ranges_fetching_and_deleting(
    world: World, keys: list[Key]
) -> None:
    made = world.collection(strings=keys is NASTY)
    ordered = sorted(keys)
    write(world.store, made, [chunk(key) for key in keys])

    assert [ordered] == list(world.store.scan_keys(made))
    assert ordered == keys_of(world.store.fetch(made, keys))
    for low, high in pairwise(ordered):
        assert 1 == world.store.count(made.name, KeyRange(low, high))
    for key in keys[::3]:
        world.store.delete(made, [key])
    world.store.delete(made, keys[1::3])
    assert [sorted(keys[2::3])] == list(world.store.scan_keys(made))


def test_fetching_leaves_out_missing_keys_and_asks_for_no_key_twice(world: World) -> None:
    made = world.collection()
    written = write(world.store, made, [chunk(key) for key in "cab"])

    found = world.store.fetch(made, ["c", "nobody", "a", "a"], with_vectors=True)

    assert ["a", "c"] == keys_of(found)
    assert np.array_equal(written[[1, 0]], np.stack([f.vector for f in found if f.key]))
    assert [] == world.store.fetch(made, ["nobody"])


def test_more_keys_than_one_filter_takes_are_fetched_and_deleted(world: World) -> None:
    made = world.collection(strings=False)
    keys: list[Key] = list(range(2500))
    write(world.store, made, [chunk(key) for key in keys])

    found = world.store.fetch(made, keys)
    world.store.delete(made, keys[:2400])

    assert keys == keys_of(found)
    assert 100 == world.store.count(made.name)


def test_an_empty_collection_has_no_pages(world: World) -> None:
    made = world.collection()

    assert [] == list(world.store.scan_keys(made))
    assert [] == list(world.store.scan(made, with_vectors=True))
    assert [] == world.store.read(made, ALL_KEYS, with_vectors=True, strong=True)
    assert 0 == world.store.count(made.name)


def test_members_of_the_dynamic_field_come_back_as_fields_and_go_back_in(world: World) -> None:
    source, name = world.collection(), world.name()
    given = chunk("a", title="é", page=3, deep={"list": [1.5, None, {"x": True}]})
    write(world.store, source, [given])
    target = world.store.create_like(source, name, 16, "migration 1")
    world.store.load(name)

    [read] = world.store.read(source, ALL_KEYS, strong=True)
    write(world.store, target, [read])
    [copied] = world.store.read(target, ALL_KEYS, strong=True)

    assert given.fields == read.fields
    assert (read.fields, read.digest()) == (copied.fields, copied.digest())


def test_a_search_finds_the_nearest_first_and_brings_its_fields(world: World) -> None:
    made = world.collection()
    written = write(world.store, made, [chunk(f"k{i}", f"text {i}", page=i) for i in range(50)])

    hits = world.store.search(made, written[[7, 3]], limit=5, output_fields=["text", "page"])

    assert ["k7", "k3"] == [found[0].key for found in hits]
    assert {"text": "text 7", "page": 7} == hits[0][0].fields
    assert 1 == pytest.approx(hits[0][0].score, abs=1e-5)
    for found in hits:
        assert 5 == len(found)
        scores = [hit.score for hit in found]
        assert sorted(scores, reverse=True) == scores


def test_directions_drawn_by_lot_find_keys_from_all_over_without_any_field(world: World) -> None:
    made = world.collection(strings=False)
    write(world.store, made, [chunk(i) for i in range(400)])
    drawn = np.random.default_rng(0).standard_normal((50, made.dimension), dtype=np.float32)

    hits = world.store.search(made, 100 * drawn, limit=5, output_fields=[])

    keys = {hit.key for found in hits for hit in found}
    assert len(keys) > 50
    assert {0, 1, 2, 3} == {int(key) // 100 for key in keys}


def test_a_flushed_collection_says_how_far_its_index_is(world: World) -> None:
    made = world.collection()
    write(world.store, made, [chunk(f"k{i}") for i in range(20)])
    world.store.flush(made.name)

    assert 20 == world.store.index_state(made.name).total_rows
    wait_until(lambda: IndexState(20, 20) == world.store.index_state(made.name))
