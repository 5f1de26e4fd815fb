"""What only real engines can show: columns of every type, broken promises, lost servers."""

from __future__ import annotations

import itertools
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus import DataType, MilvusClient

from devstack.milvus_lite import MilvusLiteServer
from migrations.adapters.milvus import MilvusVectorStore, rows
from migrations.adapters.milvus.client import CHANNEL_OPTIONS, Connection
from migrations.adapters.milvus.privileges import SCRATCH
from migrations.model.chunks import (
    ALL_KEYS,
    Chunk,
    CollectionSchema,
    IndexState,
    Key,
    KeyRange,
    Vectors,
)
from migrations.model.collection_names import can_be_made
from migrations.model.errors import (
    CollectionNotFound,
    ForeignCollection,
    ScanInconsistent,
    SchemaNotReproduced,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from tests.contract.vector_store_world import (
    DIMENSION,
    FULL_ROW,
    SCALARS,
    World,
    chunk,
    make_collection,
    open_world,
    vectors,
    wait_until,
    write,
)
from tests.services.servers import running


@pytest.fixture(scope="module", params=["milvus-lite", "milvus-standalone"])
def engine(request: pytest.FixtureRequest) -> Iterator[World]:
    """Shared by the module, collections and all: making one takes Milvus seconds."""
    world = open_world(request.param, request.getfixturevalue)
    yield world
    world.clean()


@pytest.fixture(scope="module")
def full(engine: World) -> CollectionSchema:
    """A collection with a column of every type that is carried over."""
    return engine.collection(columns=SCALARS)


@pytest.fixture(scope="module")
def strings(engine: World) -> CollectionSchema:
    return engine.collection(strings=True)


def test_where_nobody_forbids_anything_all_that_a_migration_does_is_allowed(engine: World) -> None:
    tried = engine.store.privileges()
    assert [] == [one for one in tried if one.refusal is not None]
    names = {one.name for one in tried}
    assert {"CreateCollection", "CreateIndex", "Insert", "Query", "Search", "DropAlias"} <= names
    left = engine.client.list_collections()
    assert [] == [name for name in left if name.startswith(SCRATCH)]


@pytest.fixture
def lite(request: pytest.FixtureRequest) -> Iterator[World]:
    world = open_world("milvus-lite", request.getfixturevalue)
    yield world
    world.clean()


@pytest.fixture
def standalone(request: pytest.FixtureRequest) -> Iterator[World]:
    world = open_world("milvus-standalone", request.getfixturevalue)
    yield world
    world.clean()


def everything(store: Any, schema: CollectionSchema, **options: Any) -> list[Chunk]:
    return [each for page in store.scan(schema, **options) for each in page]


def emptied(engine: World, schema: CollectionSchema) -> CollectionSchema:
    for page in engine.store.scan_keys(schema):
        engine.store.delete(schema, page)
    return schema


# --- names ----------------------------------------------------------------------

NO_NAMES = ["al/../x", "support-bot", "1alias", "a b", "a$b", "ä", "a" * 256]
NAMES = ["_a", "A1_", "a" * 255]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_cannot_be_a_name_is_not_there(engine: World, name: str) -> None:
    with pytest.raises(CollectionNotFound):
        engine.store.describe(name)
    assert engine.store.resolve_alias(name) is None


def test_the_rule_for_names_is_that_of_milvus(
    engine: World, request: pytest.FixtureRequest
) -> None:
    assert [] == [name for name in NO_NAMES if can_be_made(name)]
    made = engine.collection()
    for name in NAMES:
        assert can_be_made(name)
        engine.store.point_alias(name, made.name)
        engine.drop_alias(name)
    if request.node.callspec.params["engine"] == "milvus-lite":
        return  # it takes more
    for name in NO_NAMES:  # what is before a dot is a database, by our rule
        with pytest.raises(VectorStoreRefused, match=r"Invalid collection alias|two databases"):
            engine.store.point_alias(name, made.name)


# --- rows -----------------------------------------------------------------------


def test_packed_and_plain_rows_read_back_equal(
    engine: World, full: CollectionSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied(engine, full)
    extra = {"title": "é", "deep": {"list": [1, None]}, "page": 2**53 + 1}
    given_chunks = [
        chunk("a", **FULL_ROW, **extra),
        chunk("b", **{**FULL_ROW, "numbers": [], "words": [], "flag": False, "meta": {}}),
    ]
    packed = write(engine.store, full, given_chunks)
    by_packing = everything(engine.store, full, with_vectors=True)
    emptied(engine, full)
    monkeypatch.setattr(rows, "milvus_pb2", None)
    write(engine.store, full, given_chunks)
    by_client = everything(engine.store, full, with_vectors=True)

    assert [c.digest() for c in by_client] == [c.digest() for c in by_packing]
    for one, other, written in zip(by_client, by_packing, packed, strict=True):
        assert one.fields == other.fields
        assert np.array_equal(one.vector, other.vector)
        assert np.array_equal(written, one.vector)
    expected = {**given_chunks[0].fields, "single": float(np.float32(0.1))}
    expected["singles"] = [float(np.float32(0.1)), -2.5]
    assert expected == by_packing[0].fields


def test_rows_travel_by_the_client_when_pymilvus_hides_its_stub(
    engine: World, strings: CollectionSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "stub", lambda self, database: None)

    write(engine.store, strings, [chunk("by client", page=1)])

    [found] = engine.store.fetch(strings, ["by client"])
    assert {"pk": "by client", "text": "a text", "page": 1} == found.fields


def test_a_copied_row_has_the_digest_of_its_source(engine: World, full: CollectionSchema) -> None:
    emptied(engine, full)
    write(engine.store, full, [chunk(f"k{i}", **FULL_ROW, n=i / 3) for i in range(20)])
    target = engine.store.create_like(full, engine.name(), 16, "migration 1")
    engine.store.load(target.name)

    for page in engine.store.scan(full, page_size=7):
        write(engine.store, target, page)

    source_rows, target_rows = everything(engine.store, full), everything(engine.store, target)
    assert [c.digest() for c in source_rows] == [c.digest() for c in target_rows]
    assert 20 == len({c.digest() for c in target_rows})


def test_a_row_too_large_for_one_message_with_its_neighbours_is_sent_in_parts(
    engine: World, strings: CollectionSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.adapters.milvus.writing.LARGEST_REQUEST_BYTES", 10_000)
    emptied(engine, strings)

    written = write(engine.store, strings, [chunk(f"k{i:02}", "x" * 4000) for i in range(9)])

    found = everything(engine.store, strings, with_vectors=True)
    assert [f"k{i:02}" for i in range(9)] == [c.key for c in found]
    assert np.array_equal(written, np.stack([c.vector for c in found]))


def test_rows_too_large_for_one_answer_together_are_read_all_the_same(standalone: World) -> None:
    store = standalone.store
    long = standalone.collection(columns=[("long", DataType.VARCHAR, {"max_length": 65_535})])
    keys = [f"k{i:04}" for i in range(1_700)]  # 110 MB; Milvus answers 100 MiB at most
    for start in range(0, len(keys), 200):
        part = keys[start : start + 200]
        write(store, long, [chunk(key, long="x" * 65_000) for key in part])

    assert keys == [found.key for found in everything(store, long, page_size=2_000)]
    assert keys == [found.key for found in store.fetch(long, keys)]
    assert keys == [found.key for found in store.read(long, ALL_KEYS)]


@pytest.mark.parametrize("path", ["packed", "plain"])
def test_a_row_that_does_not_fit_the_columns_is_refused_by_name(
    engine: World, full: CollectionSchema, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "plain":
        monkeypatch.setattr(rows, "milvus_pb2", None)
    lacking = {name: value for name, value in FULL_ROW.items() if name != "i16"}

    with pytest.raises(VectorStoreRefused, match="i16"):
        write(engine.store, full, [chunk("a", **lacking)])


def test_a_strong_read_sees_every_write_before_it(engine: World, strings: CollectionSchema) -> None:
    emptied(engine, strings)
    seen = []
    for round_ in range(5):
        write(engine.store, strings, [chunk("same", f"text {round_}")])
        seen.append(engine.store.read(strings, ALL_KEYS, strong=True)[0].fields["text"])
        seen.append(everything(engine.store, strings)[0].fields["text"])
        seen.append(engine.store.fetch(strings, ["same"])[0].fields["text"])

    assert [f"text {round_}" for round_ in range(5) for _ in range(3)] == seen


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(
            lambda key: len(key.encode()) <= 512
        ),
        min_size=1,
        max_size=30,
        unique=True,
    )
)
def test_any_text_is_a_key_that_filters_find(
    engine: World, strings: CollectionSchema, keys: list[str]
) -> None:
    emptied(engine, strings)
    write(engine.store, strings, [chunk(key) for key in keys])
    ordered = sorted(keys)
    middle = ordered[len(ordered) // 2]

    assert [ordered] == list(engine.store.scan_keys(strings))
    assert ordered == [c.key for c in engine.store.fetch(strings, keys)]
    assert ordered.index(middle) + 1 == engine.store.count(strings.name, KeyRange(None, middle))
    engine.store.delete(strings, keys)
    assert 0 == engine.store.count(strings.name)


# --- collections ----------------------------------------------------------------


def test_every_column_type_index_and_option_is_reproduced(engine: World) -> None:
    name, copy = engine.name(), engine.name()
    assert engine.client is not None
    make_collection(
        engine.client,
        name,
        columns=SCALARS,
        dynamic=False,
        metric="IP",
        consistency_level="Session",
        properties={"collection.autocompaction.enabled": "true"},
    )
    indexes = engine.client.prepare_index_params()
    scalar_index = "INVERTED" if engine.store.ping().startswith("milvus_lite") else "STL_SORT"
    indexes.add_index("i64", index_type=scalar_index, index_name="by_number")
    engine.client.create_index(name, indexes, timeout=30)
    source = engine.store.describe(name)

    made = engine.store.create_like(source, copy, 16, "migration 1")

    assert [] == source.differences(made)
    assert ("IP", (), 2) == (made.metric, made.unsupported, len(made.description["indexes"]))
    assert {"collection.autocompaction.enabled": "true"} == made.description["properties"]


def test_a_copy_that_died_before_its_index_is_finished_by_the_next_attempt(
    engine: World, strings: CollectionSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = engine.name()

    def die(*_: Any) -> None:
        raise VectorStoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MilvusVectorStore, "_index_like", die)
        with pytest.raises(VectorStoreUnavailable):
            engine.store.create_like(strings, name, 16, "migration 1")
    made = engine.store.create_like(strings, name, 16, "migration 1")

    assert [] == strings.differences(made)
    engine.store.load(name)
    assert engine.store.is_loaded(name)


def test_an_adopted_copy_of_another_dimension_is_not_passed_off_as_the_right_one(
    engine: World, strings: CollectionSchema
) -> None:
    name = engine.name()
    engine.store.create_like(strings, name, 16, "migration 1")

    with pytest.raises(SchemaNotReproduced, match="dimension: 32 became 16"):
        engine.store.create_like(strings, name, 32, "migration 1")


def test_a_copy_that_the_engine_makes_otherwise_is_refused_by_what_differs(lite: World) -> None:
    source = lite.collection()
    sharded = replace(source, description={**source.description, "num_shards": 2})

    with pytest.raises(SchemaNotReproduced, match="num_shards: 2 became 1") as refusal:
        lite.store.create_like(sharded, lite.name(), 16, "migration 1")

    assert ["num_shards: 2 became 1"] == refusal.value.details["differences"]


def test_two_workers_that_create_one_copy_both_get_it(
    engine: World, strings: CollectionSchema
) -> None:
    name = engine.name()
    create = engine.store.create_like
    with ThreadPoolExecutor(4) as pool:
        attempts = [pool.submit(create, strings, name, 16, "migration 1") for _ in range(4)]
        made = [attempt.result() for attempt in attempts]

    assert [made[0]] * 4 == made


def test_two_owners_that_race_for_one_name_do_not_share_it(
    engine: World, strings: CollectionSchema
) -> None:
    name = engine.name()
    create = engine.store.create_like
    with ThreadPoolExecutor(2) as pool:
        attempts = {tag: pool.submit(create, strings, name, 16, tag) for tag in ("one", "other")}
        errors = {tag: attempt.exception() for tag, attempt in attempts.items()}

    owner = engine.store.owner_tag(name)
    assert owner is not None
    assert errors.pop(owner) is None
    assert [ForeignCollection] == [type(error) for error in errors.values()]


def test_a_copy_gets_keys_of_its_own_where_milvus_gives_them(engine: World) -> None:
    name = engine.name()
    assert engine.client is not None
    engine.client.create_collection(name, dimension=DIMENSION, auto_id=True, timeout=30)
    source = engine.store.describe(name)
    assert ((), True) == (source.unsupported, source.key_is_given)
    target = engine.store.create_like(source, engine.name(), 4, "ours")
    engine.store.load(target.name)
    assert target.key_is_given
    chunks = [Chunk(key, {source.key_field: key, "text": f"text {key}"}) for key in (7, 8, 9)]

    given = engine.store.insert(target, chunks, vectors(3, 4))

    assert 3 == len(set(given)) == engine.store.count(target.name)
    found = engine.store.fetch(target, given, with_vectors=True)
    by_key = {chunk.key: chunk for chunk in found}
    assert ["text 7", "text 8", "text 9"] == [by_key[key].fields["text"] for key in given]
    assert [set(given)] == [{chunk.fields[source.key_field] for chunk in found}]
    assert np.allclose(vectors(3, 4), [by_key[key].vector for key in given])
    with pytest.raises(VectorStoreRefused):
        engine.store.upsert(target, [by_key[given[0]]], vectors(1, 4))
    engine.store.delete(target, given[:1])
    (later,) = engine.store.insert(target, chunks[:1], vectors(1, 4))
    assert later not in given


def test_nullable_columns_and_defaults_keep_their_values_where_the_engine_has_them(
    lite: World,
) -> None:
    source = lite.collection(
        columns=[
            ("maybe", DataType.INT64, {"nullable": True}),
            ("words", DataType.VARCHAR, {"nullable": True, "max_length": 50}),
            ("preset", DataType.INT32, {"default_value": 7}),
        ]
    )
    given_chunks = [
        chunk("a", maybe=None, words="w", preset=1),
        chunk("b", maybe=5, words=None, preset=7),
    ]
    write(lite.store, source, given_chunks)
    target = lite.store.create_like(source, lite.name(), 16, "migration 1")

    write(lite.store, target, lite.store.read(source, ALL_KEYS, strong=True))
    write(lite.store, target, [chunk("a", words="only words", preset=1)])

    a, b = lite.store.read(target, ALL_KEYS, strong=True)
    assert given_chunks[1].fields == b.fields
    assert {"pk": "a", "text": "a text", "maybe": None, "words": "only words", "preset": 1} == (
        a.fields
    )


def test_a_row_of_another_partition_key_is_written_where_filters_find_it(engine: World) -> None:
    column = ("tenant", DataType.VARCHAR, {"max_length": 64, "is_partition_key": True})
    made = engine.collection(columns=[column])
    before = [chunk(f"k{i:02}", tenant=f"old {i % 7}") for i in range(40)]
    after = [chunk(f"k{i:02}", tenant=f"new {i % 5}") for i in range(40)]
    for rows_ in (before, after, after):
        write(engine.store, made, rows_)

    assert after == [replace(each, vector=None) for each in everything(engine.store, made)]
    assert 40 == engine.store.count(made.name)
    assert engine.client is not None
    found = [
        engine.client.query(
            made.name,
            filter=f'tenant == "{tenant}"',
            output_fields=["pk"],
            consistency_level="Strong",
            timeout=30,
        )
        for tenant in ("new 0", "new 3", "old 0")
    ]
    assert [8, 8, 0] == [len(rows_) for rows_ in found]
    engine.store.delete(made, [each.key for each in after[:10]])
    assert 30 == engine.store.count(made.name)


def test_vectors_beside_the_embedded_one_are_read_and_written_bit_for_bit(lite: World) -> None:
    """Milvus 2.3.5 has one vector a collection."""
    name = lite.name()
    assert lite.client is not None
    make_collection(
        lite.client,
        name,
        columns=[
            ("image", DataType.FLOAT_VECTOR, {"dim": 3}),
            ("sparse", DataType.SPARSE_FLOAT_VECTOR, {}),
            ("maybe", DataType.INT64, {"nullable": True}),
        ],
    )
    source = lite.store.describe(name, "vector")
    image, sparse = (
        np.float32([0.1, np.pi, -0.0]).tobytes(),
        b"\1\0\0\0\315\314\314=\0(k\356\0\0\200?",
    )
    plain = chunk("a", maybe=None)
    rows_ = [
        replace(chunk(key, maybe=None), carried={"image": image, "sparse": sparse})
        for key in ("a", "b")
    ]
    write(lite.store, source, rows_)

    assert rows_ == everything(lite.store, source)
    assert rows_ == lite.store.fetch(source, ["a", "b"])
    assert rows_ == lite.store.fetch_rows(source, ["a", "b"])
    target = lite.store.create_like(source, lite.name(), 16, "migration 1")
    write(lite.store, target, lite.store.read(source, ALL_KEYS, strong=True))
    assert rows_ == lite.store.fetch(target, ["a", "b"])
    assert [8, 16] == [each.dimension for each in (source, target)]
    other = lite.store.describe(target.name, "image")
    assert ("image", 3) == (other.vector_field, other.dimension)
    [seen, _] = lite.store.fetch(other, ["a", "b"], with_vectors=True)
    assert seen.vector is not None
    assert image == seen.vector.tobytes()
    assert ["sparse", "vector"] == sorted(seen.carried)
    with pytest.raises(VectorStoreRefused, match=r"lacks the columns \['image', 'sparse'\]"):
        write(lite.store, target, [plain])


def test_a_search_is_made_with_the_schemas_parameters(standalone: World) -> None:
    made = standalone.collection()
    near_only = replace(made, search_params={"radius": 0.99})
    written = write(standalone.store, made, [chunk(f"k{i}") for i in range(5)])
    (all_hits,) = standalone.store.search(made, written[:1], limit=5, output_fields=[])
    (hits,) = standalone.store.search(near_only, written[:1], limit=5, output_fields=[])
    assert (5, ["k0"]) == (len(all_hits), [hit.key for hit in hits])


def test_a_collection_is_loaded_once_in_the_default_group_unless_somebody_says_otherwise(
    engine: World, strings: CollectionSchema
) -> None:
    assert [""] == engine.store.replicas(strings.name)


# --- broken promises --------------------------------------------------------------


@pytest.mark.parametrize("drop", [0, 5, -1], ids=["first", "middle", "last"])
def test_a_row_missing_from_a_page_raises_instead_of_being_lost(
    engine: World, strings: CollectionSchema, drop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied(engine, strings)
    write(engine.store, strings, [chunk(f"k{i:02}") for i in range(12)])
    victim = f"k{list(range(12))[drop]:02}"
    honest = MilvusVectorStore._page

    def page(*args: Any, **options: Any) -> list[Any]:
        return [row for row in honest(*args, **options) if row["pk"] != victim]

    monkeypatch.setattr(MilvusVectorStore, "_page", page)

    for scan in (engine.store.scan_keys, engine.store.scan):
        with pytest.raises(ScanInconsistent):
            list(scan(strings, page_size=5))


def test_a_key_that_stands_more_than_once_comes_once_and_says_so(standalone: World) -> None:
    world, made = standalone, standalone.collection()
    assert world.client is not None
    row = {"pk": "k2", "text": "again", "vector": vectors(1)[0].tolist()}
    write(world.store, made, [chunk(f"k{i}") for i in range(5)])
    for _ in range(2):
        world.client.insert(made.name, [row], timeout=30)

    once = [f"k{i}" for i in range(5)]
    assert once == [key for page in world.store.scan_keys(made, page_size=3) for key in page]
    pages = list(world.store.scan(made, page_size=3))
    assert [3, 2] == [len(page) for page in pages]
    assert list(zip(once, (1, 1, 3, 1, 1), strict=True)) == [
        (c.key, c.rows) for page in pages for c in page
    ]
    assert once == [c.key for c in world.store.read(made, ALL_KEYS, strong=True)]
    assert ["k0", "k2", "k4"] == [c.key for c in world.store.fetch(made, ["k4", "k2", "k0"])]


def test_a_key_comes_as_often_as_it_stands_to_whoever_asks_for_rows(standalone: World) -> None:
    world, made = standalone, standalone.collection()
    assert world.client is not None
    row = {"pk": "k2", "text": "again", "vector": vectors(1)[0].tolist()}
    write(world.store, made, [chunk(f"k{i}") for i in range(5)])
    for _ in range(2):
        world.client.insert(made.name, [row], timeout=30)
    pages = world.store.scan_rows(made, page_size=3)
    assert ["k0", "k1", *["k2"] * 3, "k3", "k4"] == [c.key for page in pages for c in page]
    fetched = world.store.fetch_rows(made, ["k4", "k2", "k0", "gone"])
    assert ["k0", *["k2"] * 3, "k4"] == [c.key for c in fetched]
    write(world.store, made, [chunk("k2")])
    assert 5 == world.store.count(made.name)


def test_what_is_flushed_and_left_alone_settles(engine: World) -> None:
    made = engine.collection()
    write(engine.store, made, [chunk(f"k{i}") for i in range(20)])
    engine.store.flush(made.name)
    engine.store.delete(made, ["k1", "k2"])
    engine.store.flush(made.name)
    wait_until(lambda: engine.store.is_settled(made.name))
    assert 18 == engine.store.count(made.name)


def test_a_compacted_segment_counts_as_indexed_before_it_has_an_index_of_its_own(
    standalone: World,
) -> None:
    """With the deletions that upserts write, Milvus makes every segment of a large fill anew.

    It is asked to, and also does so by itself, at a time of its own choosing: seen within half
    a minute, and on a busy machine not within one.
    """
    world, client, made = standalone, standalone.client, standalone.collection()
    assert client is not None
    write(world.store, made, [chunk(f"k{i}") for i in range(3_000)])
    world.store.flush(made.name)
    wait_until(lambda: not world.store.index_state(made.name).unindexed_rows)
    write(world.store, made, [chunk(f"k{i}") for i in range(1_000, 3_500)])
    world.store.flush(made.name)

    seen: list[tuple[IndexState, int]] = []
    looks = itertools.count()

    def is_indexed_anew() -> bool:
        state = world.store.index_state(made.name)
        pending = client.describe_index(made.name, "vector")["pending_index_rows"]
        seen.append((state, pending))
        if state == IndexState(5_500, 5_500) and next(looks) % 200 == 0:
            client.compact(made.name, timeout=30)  # again after ten seconds
        # For a moment what it replaces still counts as indexed, and nothing is pending.
        was_pending = any(rows for earlier, rows in seen if earlier.total_rows == 3_500)
        return was_pending and not pending

    wait_until(is_indexed_anew, pause=0.05, seconds=240)
    assert {0} == {state.unindexed_rows for state, _ in seen if state.total_rows == 3_500}


# --- servers and processes --------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.ping(),
        lambda store: store.exists("c"),
        lambda store: store.describe("c"),
        lambda store: store.load("c"),
        lambda store: store.point_alias("a", "c"),
    ],
    ids=["ping", "exists", "describe", "load", "point_alias"],
)
def test_a_server_that_is_not_there_is_unavailable_within_the_timeout(
    call: Callable[[MilvusVectorStore], Any],
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        store = MilvusVectorStore(f"http://127.0.0.1:{nobody.getsockname()[1]}", timeout_seconds=2)
        before = time.monotonic()
        with pytest.raises(VectorStoreUnavailable) as caught:
            call(store)

    assert time.monotonic() - before < 3
    assert caught.value.__cause__ is not None


def test_a_server_that_never_answers_is_unavailable_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = MilvusVectorStore(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=1)
        before = time.monotonic()
        with pytest.raises(VectorStoreUnavailable):
            store.ping()

    assert time.monotonic() - before < 3


def test_errors_are_logged_by_nobody_but_us(
    engine: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert engine.store.resolve_alias("nobody_has_this_alias") is None

    assert ([], "", "") == (caplog.records, *capfd.readouterr())


def _count_in_child(store: MilvusVectorStore, collection: str, parents: Any, answer: Any) -> None:
    counted, own = store.count(collection), store._connection.stub()
    answer.put((counted, own is parents))


def test_a_forked_child_makes_its_own_connection_and_leaves_the_parents_alone(
    engine: World, strings: CollectionSchema
) -> None:
    emptied(engine, strings)
    write(engine.store, strings, [chunk(key) for key in "abc"])
    assert isinstance(engine.store, MilvusVectorStore)
    parents = engine.store._connection.stub()
    context = multiprocessing.get_context("fork")
    answer: Any = context.Queue()
    arguments = (engine.store, strings.name, parents, answer)
    child = context.Process(target=_count_in_child, args=arguments)

    child.start()
    in_child = answer.get(timeout=30)
    child.join(30)

    assert ((3, False), 0) == (in_child, child.exitcode)
    assert parents is engine.store._connection.stub()
    assert 3 == engine.store.count(strings.name)


def test_threads_share_one_client(engine: World, strings: CollectionSchema) -> None:
    emptied(engine, strings)
    keys: list[Key] = [f"k{i:03}" for i in range(200)]

    def put(part: Sequence[Key]) -> Vectors:
        return write(engine.store, strings, [chunk(key) for key in part])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, [keys[i : i + 10] for i in range(0, 200, 10)]))

    assert [keys] == list(engine.store.scan_keys(strings))


def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with running(MilvusLiteServer(tmp_path / "lite")) as server:
        world = World(
            MilvusVectorStore(server.url, timeout_seconds=3),
            MilvusClient(uri=server.url, timeout=30, dedicated=True, grpc_options=CHANNEL_OPTIONS),
        )
        made = world.collection()
        write(world.store, made, [chunk("before")])
        server.stop()

        for call in (world.store.ping, lambda: write(world.store, made, [chunk("lost")])):
            before = time.monotonic()
            with pytest.raises(VectorStoreUnavailable):
                call()
            assert time.monotonic() - before < 4

        server.start()
        _patiently(lambda: world.store.load(made.name))
        write(world.store, made, [chunk("after")])
        assert [["after", "before"]] == list(world.store.scan_keys(made))


def _patiently(call: Callable[[], Any]) -> None:
    """Try again as the phases do: gRPC waits a moment before it connects anew."""
    for _ in range(20):
        try:
            return call()
        except VectorStoreUnavailable:
            time.sleep(0.5)
    return call()


def test_lately_is_two_seconds_before_now_by_the_clock_of_milvus(standalone: World) -> None:
    lately, now = standalone.store.lately(), standalone.store.moment()
    milliseconds = (now["guarantee_timestamp"] >> 18) - (lately["guarantee_timestamp"] >> 18)
    assert 2000 <= milliseconds < 3000
