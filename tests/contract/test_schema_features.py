"""Each thing a schema may have is equal in a copy or refused in a sentence: none is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymilvus.exceptions import MilvusException

from migrations.model.chunks import ALL_KEYS, Chunk, CollectionSchema
from migrations.model.config import TargetIndex
from migrations.model.errors import SchemaNotReproduced, VectorStoreRefused
from tests.contract.schema_features import (
    EQUAL,
    FEATURES,
    FORGOTTEN,
    Absent,
    Feature,
    Refused,
    Verdict,
    printed,
)
from tests.contract.vector_store_world import World, make_collection, open_world, vectors

#: Milvus takes seconds for a collection, and no longer for several at once.
AT_ONCE = {"milvus-lite": 1, "milvus-standalone": 8}
TARGET_DIMENSION = 16


@dataclass(frozen=True)
class Outcome:
    """What became of a feature. Only one of the first two says something."""

    #: What the engine said when it would not make the user's collection.
    absent: str = ""
    #: What we said of it.
    refused: tuple[str, ...] = ()
    #: Whether the descriptions of the user's collection and of the copy show it.
    told: tuple[bool, bool] = (False, False)
    differences: tuple[str, ...] = ()
    #: The user's row, and the copy's.
    rows: tuple[Chunk, Chunk] | None = None


@dataclass(frozen=True)
class Engine:
    verdicts: Mapping[str, Verdict]
    outcomes: Mapping[str, Future[Outcome]]


@pytest.fixture(scope="module", params=list(AT_ONCE))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """All features are tried at once, each test waits for its own."""
    kind: str = request.param
    world = open_world(kind, request.getfixturevalue)
    on_lite = kind == "milvus-lite"
    verdicts = {each.name: each.lite if on_lite else each.standalone for each in FEATURES}
    with ThreadPoolExecutor(AT_ONCE[kind]) as pool:
        outcomes = {
            each.name: pool.submit(_tried, world, each, verdicts[each.name] == EQUAL)
            for each in FEATURES
        }
        yield Engine(verdicts, outcomes)


def _tried(world: World, feature: Feature, with_row: bool) -> Outcome:
    name, copy = f"c_{uuid4().hex[:12]}", f"c_{uuid4().hex[:12]}"
    try:
        return _outcome(world, feature, name, copy, with_row)
    finally:
        world.store.drop(name)
        world.store.drop(copy)


def _outcome(world: World, feature: Feature, name: str, copy: str, with_row: bool) -> Outcome:
    assert world.client is not None
    try:
        feature.make(world.client, name)
    except MilvusException as error:
        return Outcome(absent=str(error.message))
    source = world.store.describe(name)
    if "vector" in source.float_vectors:
        source = world.store.describe(name, "vector")
    if source.unsupported:
        return Outcome(refused=source.unsupported)
    made = world.store.create_like(source, copy, TARGET_DIMENSION, "migration 1")
    return Outcome(
        told=(bool(feature.told(source.description)), bool(feature.told(made.description))),
        differences=tuple(source.differences(made)),
        rows=_copied(world, source, made, feature.row) if with_row and feature.row else None,
    )


def _copied(
    world: World, source: CollectionSchema, made: CollectionSchema, row: Mapping[str, Any]
) -> tuple[Chunk, Chunk]:
    assert world.client is not None
    row = {"pk": "k", "text": "a text", "vector": vectors(1)[0], **row}
    world.store.load(source.name)
    world.client.insert(source.name, [row], timeout=60)
    [chunk] = world.store.read(source, ALL_KEYS, strong=True)
    world.store.upsert(made, [chunk], vectors(1, TARGET_DIMENSION))
    world.store.load(made.name)
    [copied] = world.store.fetch(made, [chunk.key])
    return chunk, copied


def test_there_are_enough_features_and_each_has_a_name_of_its_own() -> None:
    assert len(FEATURES) >= 40
    assert len(FEATURES) == len({feature.name for feature in FEATURES})


def test_the_documentation_has_the_same_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "howto" / "collections.md"
    assert printed() in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_is_equal_in_the_copy_or_refused_in_a_sentence(
    engine: Engine, feature: Feature
) -> None:
    verdict, outcome = engine.verdicts[feature.name], engine.outcomes[feature.name].result(60)

    if isinstance(verdict, Absent):
        assert verdict.words in outcome.absent
        return
    assert "" == outcome.absent
    if isinstance(verdict, Refused):
        [sentence] = outcome.refused
        assert verdict.words in sentence
        return
    assert ((), ()) == (outcome.refused, outcome.differences)
    assert {EQUAL: (True, True), FORGOTTEN: (False, False)}[verdict] == outcome.told
    if outcome.rows is not None:
        theirs, ours = outcome.rows
        assert theirs.digest() == ours.digest()
        assert theirs.holds_the_same_as(ours)
        assert all(theirs.carried.values())


# --- ways out that our sentences name --------------------------------------------------------


@pytest.fixture(params=list(AT_ONCE))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    opened = open_world(request.param, request.getfixturevalue)
    yield opened
    opened.clean()


def test_rows_that_expire_are_carried_once_the_property_is_zero(world: World) -> None:
    name = world.name()
    assert world.client is not None
    ttl = {"collection.ttl.seconds": "3600"}
    next(each for each in FEATURES if each.name == "rows that expire").make(world.client, name)

    world.client.alter_collection_properties(name, {"collection.ttl.seconds": "0"}, timeout=30)
    source = world.store.describe(name)
    assert () == source.unsupported
    made = world.store.create_like(source, world.name(), TARGET_DIMENSION, "migration 1")
    world.client.alter_collection_properties(made.name, ttl, timeout=30)

    assert ttl == world.store.describe(made.name).description["properties"]


def test_partitions_are_carried_once_their_rows_are_moved_to_the_default_one(world: World) -> None:
    name = world.name()
    assert world.client is not None
    client, vector = world.client, vectors(1)[0]
    make_collection(client, name)
    client.create_partition(name, "old", timeout=30)
    for key, partition in (("a", "old"), ("b", "_default")):
        row = {"pk": key, "text": key, "vector": vector}
        client.insert(name, [row], partition_name=partition, timeout=30)

    rows = client.query(
        name,
        filter='pk >= ""',
        output_fields=["*"],
        partition_names=["old"],
        consistency_level="Strong",
        timeout=30,
    )
    client.insert(name, [dict(row) for row in rows], timeout=30)
    if not world.store.ping().startswith("milvus_lite"):  # which cannot, and need not
        client.release_partitions(name, ["old"], timeout=30)
    client.drop_partition(name, "old", timeout=30)

    source = world.store.describe(name)
    assert () == source.unsupported
    assert ["a", "b"] == [chunk.key for chunk in world.store.read(source, ALL_KEYS, strong=True)]


# --- another index ---------------------------------------------------------------------------


def test_the_copy_has_the_index_that_is_wanted(world: World) -> None:
    source = world.collection(metric="L2")
    wanted = source.with_index(TargetIndex(index_type="FLAT"))

    made = world.store.create_like(wanted, world.name(), TARGET_DIMENSION, "migration 1")

    assert ("FLAT", "L2") == (made.index_type, made.metric)
    assert [] == wanted.differences(made)


def test_an_index_that_does_not_fit_the_new_dimension_is_refused_by_milvus(
    request: pytest.FixtureRequest,
) -> None:
    world = open_world("milvus-standalone", request.getfixturevalue)
    name = world.name()
    pq = TargetIndex(index_type="IVF_PQ", params={"nlist": 16, "m": 5, "nbits": 8})
    wanted = world.collection().with_index(pq)

    with pytest.raises(VectorStoreRefused, match="dimension must be able to be divided by `m`"):
        world.store.create_like(wanted, name, 16, "migration 1")

    assert 20 == world.store.create_like(wanted, world.name(), 20, "migration 1").dimension
    world.clean()


def test_milvus_lite_keeps_no_parameters_of_an_index_and_the_copy_is_not_passed_off(
    request: pytest.FixtureRequest,
) -> None:
    world = open_world("milvus-lite", request.getfixturevalue)
    larger = TargetIndex(index_type="HNSW", params={"M": 32, "efConstruction": 200})
    wanted = world.collection().with_index(larger)

    with pytest.raises(SchemaNotReproduced, match="'M': '32'"):
        world.store.create_like(wanted, world.name(), 16, "migration 1")

    world.clean()
