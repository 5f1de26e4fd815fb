"""What readers search for, on every engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, Function, FunctionType

from migrations.model.chunks import CollectionSchema, Hit, Vectors
from migrations.model.errors import CollectionNotFound, SearchRefused, VectorStoreRefused
from migrations.model.search import Consistency, Fusion, Search
from tests.contract.vector_store_world import (
    DIMENSION,
    FULL_ROW,
    SCALARS,
    World,
    chunk,
    open_world,
    vectors,
    write,
)

ONE = ("a question",)
Corpus = tuple[CollectionSchema, Vectors]


@pytest.fixture(scope="module", params=["fake", "milvus-lite", "milvus-standalone"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Shared by the module: making a collection takes Milvus seconds, and reading changes none."""
    world = open_world(request.param, request.getfixturevalue)
    yield world
    world.clean()


@pytest.fixture(scope="module")
def corpus(world: World) -> tuple[CollectionSchema, Vectors]:
    made = world.collection()
    chunks = [
        chunk(f"k{i:02}", f"text {i}", page=i, lang="en" if i % 2 else 'd"e') for i in range(40)
    ]
    return made, write(world.store, made, chunks)


def find(
    world: World, made: CollectionSchema, vectors: Vectors, *fields: str, **wish: Any
) -> list[list[Hit]]:
    wish = {"consistency": Consistency.STRONG, "texts": ONE * len(vectors), **wish}
    return world.store.find(made, vectors, Search(**wish), fields)


def test_each_text_is_answered_by_its_own_page_best_first(world: World, corpus: Corpus) -> None:
    made, vectors = corpus
    whole = find(world, made, vectors[:2], limit=8)
    pages = [find(world, made, vectors[:2], limit=4, offset=offset) for offset in (0, 4)]
    assert ["k00", "k01"] == [hits[0].key for hits in whole]
    for asked in (0, 1):
        keys = [hit.key for hit in whole[asked]]
        assert keys == [hit.key for page in pages for hit in page[asked]]
        scores = [hit.score for hit in whole[asked]]
        assert sorted(scores, reverse=True) == scores


def test_fields_are_those_that_are_asked_for_and_never_a_vector(
    world: World, corpus: Corpus
) -> None:
    made, vectors = corpus
    assert {} == find(world, made, vectors[:1], limit=1)[0][0].fields
    named = find(world, made, vectors[:1], "text", "page", limit=1)
    assert {"text": "text 0", "page": 0} == named[0][0].fields
    everything = find(world, made, vectors[:1], "*", limit=1)
    assert {"pk": "k00", "text": "text 0", "page": 0, "lang": 'd"e'} == everything[0][0].fields


@pytest.mark.parametrize(
    ("expression", "parameters", "pages"),
    [
        ("page >= 38", {}, {38, 39}),
        ("page >= {least}", {"least": 38}, {38, 39}),
        ("page in {pages}", {"pages": [3, 5]}, {3, 5}),
        ("lang == {lang} and page < 4", {"lang": 'd"e'}, {0, 2}),
        ("text == 'text {page}' or page == {page}", {"page": 7}, {7}),
    ],
)
def test_a_filter_takes_its_parameters_from_beside_it(
    world: World, corpus: Corpus, expression: str, parameters: dict[str, Any], pages: set[int]
) -> None:
    made, vectors = corpus
    found = find(
        world, made, vectors[:1], "page", limit=40, filter=expression, filter_params=parameters
    )
    assert pages == {hit.fields["page"] for hit in found[0]}


@pytest.mark.parametrize(
    ("expression", "parameters"),
    [
        ("page >=", {}),
        ("page == {page}", {}),
        ("page == 1", {"page": 1}),
        ("page == {page}", {"page": float("nan")}),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_in_words(
    world: World, corpus: Corpus, expression: str, parameters: dict[str, Any]
) -> None:
    made, vectors = corpus
    with pytest.raises(SearchRefused) as refused:
        find(world, made, vectors[:1], filter=expression, filter_params=parameters)
    assert refused.value.message


@pytest.mark.parametrize("consistency", [None, *Consistency])
def test_an_answer_may_be_of_any_consistency(
    world: World, corpus: Corpus, consistency: Consistency | None
) -> None:
    made, vectors = corpus
    found = find(world, made, vectors[:1], limit=1, consistency=consistency)
    assert 1 == len(found)


def test_a_partition_that_is_not_there_is_refused_or_empty(world: World, corpus: Corpus) -> None:
    made, vectors = corpus
    try:
        found = find(world, made, vectors[:1], partitions=("nowhere",))
    except SearchRefused:
        return
    assert [[]] == found, "milvus-lite has nothing there"


def test_words_are_not_searched_for_where_there_is_no_index_of_them(
    world: World, corpus: Corpus
) -> None:
    made, vectors = corpus
    with pytest.raises(SearchRefused, match="BM25"):
        find(world, made, vectors[:1], fusion=Fusion())


def test_a_vector_of_another_dimension_is_no_fault_of_the_reader(
    world: World, corpus: Corpus
) -> None:
    made, _ = corpus
    with pytest.raises(VectorStoreRefused):
        find(world, made, np.ones((1, made.dimension + 1), dtype=np.float32))


def test_a_collection_that_is_gone_is_told_from_one_that_refuses(
    world: World, corpus: Corpus
) -> None:
    made, vectors = corpus
    with pytest.raises(CollectionNotFound):
        find(world, replace(made, name=world.name()), vectors[:1])


def test_every_value_that_is_found_can_be_written_as_json(world: World) -> None:
    if world.client is None:
        pytest.skip("The fake keeps what it is given.")
    made = world.collection(columns=SCALARS)
    written = write(world.store, made, [chunk("a", **FULL_ROW, more={"of": [1]})])
    fields = find(world, made, written, "*")[0][0].fields
    told = json.loads(json.dumps(fields))
    singles = {name: pytest.approx(FULL_ROW[name]) for name in ("single", "singles")}
    assert {**FULL_ROW, **singles, "pk": "a", "text": "a text", "more": {"of": [1]}} == told


def test_words_and_vectors_are_searched_together_where_milvus_can(
    on_lite: World, request: pytest.FixtureRequest
) -> None:
    assert on_lite.client is not None
    name, client = on_lite.name(), on_lite.client
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("text", DataType.VARCHAR, max_length=512, enable_analyzer=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            "bm25", FunctionType.BM25, input_field_names=["text"], output_field_names=["sparse"]
        )
    )
    indexes = client.prepare_index_params()
    indexes.add_index("vector", index_type="FLAT", metric_type="COSINE")
    indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    client.create_collection(name, schema=schema, index_params=indexes)
    made = on_lite.store.describe(name)
    words = ["apples and pears", "wild geese", "a heron", "cold rain"]
    written = vectors(len(words))
    rows = [
        {"pk": f"k{i}", "text": text, "vector": vector.tolist(), "n": i}
        for i, (text, vector) in enumerate(zip(words, written, strict=True))
    ]
    client.insert(name, rows)
    assert "sparse" == made.words_field

    def keys(fusion: Fusion, **more: Any) -> list[str]:
        hits = find(on_lite, made, written[:1], "*", texts=("geese",), fusion=fusion, **more)[0]
        assert all(set(hit.fields) == {"pk", "text", "n"} for hit in hits)
        return [str(hit.key) for hit in hits]

    assert {"k0", "k1"} == set(keys(Fusion(), limit=2))
    assert "k1" == keys(Fusion(None, 0.0, 1.0))[0]
    assert "k0" == keys(Fusion(None, 1.0, 0.0))[0]
    assert ["k1"] == keys(Fusion(), filter="n == {n}", filter_params={"n": 1})
    assert keys(Fusion(), limit=4)[2:] == keys(Fusion(), limit=2, offset=2)
    on_lite.clean()
