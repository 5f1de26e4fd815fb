"""Each thing a schema may have is equal in a copy or refused in a sentence: none is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from pymilvus.exceptions import MilvusException

from migrations.model.chunks import ALL_KEYS, Chunk, CollectionSchema
from tests.contract.schema_features import (
    EQUAL,
    FEATURES,
    FORGOTTEN,
    Absent,
    Feature,
    Refused,
    Verdict,
)
from tests.contract.vector_store_world import World, open_world, vectors

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
