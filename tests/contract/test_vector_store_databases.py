"""A collection in a Milvus database of its own: ``sales.docs``, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from migrations.adapters.milvus import MilvusVectorStore
from migrations.model.chunks import CollectionSchema
from migrations.model.collection_names import apart
from migrations.model.errors import (
    CollectionNotFound,
    InvalidConfiguration,
    VectorStoreRefused,
)
from tests.contract.vector_store_world import (
    DIMENSION,
    World,
    chunk,
    make_collection,
    vectors,
    world_at,
    write,
)

ENGINES = {"milvus-lite": "milvus_lite_server", "milvus-standalone": "milvus_standalone_server"}


@pytest.fixture(params=ENGINES, scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(ENGINES[request.param]).url)


@pytest.fixture(scope="module")
def there(url: str) -> Iterator[tuple[World, CollectionSchema]]:
    """A collection in a database of its own, with three rows."""
    world = world_at(url, f"d_{uuid4().hex[:8]}")
    schema = world.collection()
    write(world.store, schema, [chunk("a"), chunk("b"), chunk("c")])
    yield world, schema
    world.clean()


def test_a_name_stands_for_another_collection_in_another_database(
    url: str, there: tuple[World, CollectionSchema]
) -> None:
    world, schema = there
    _, bare = apart(schema.name)
    assert not world.store.exists(bare)
    elsewhere = world_at(url)
    assert elsewhere.client is not None
    make_collection(elsewhere.client, bare)
    try:
        assert (0, 3) == (world.store.count(bare), world.store.count(schema.name))
        assert bare == world.store.describe(bare).name
        assert schema.name == world.store.describe(schema.name).name
    finally:
        elsewhere.store.drop(bare)


def test_what_is_made_and_renamed_stays_in_its_database(
    there: tuple[World, CollectionSchema],
) -> None:
    world, schema = there
    name, alias, other = world.name(), world.name(), world.name()
    made = world.store.create_like(schema, name, 2 * DIMENSION, "tag")
    assert (name, 2 * DIMENSION) == (made.name, made.dimension)
    assert "tag" == world.store.owner_tag(name)
    world.store.point_alias(alias, name)
    assert (name, [alias]) == (world.store.resolve_alias(alias), world.store.aliases_of(name))
    world.store.point_alias(alias, schema.name)
    assert (schema.name, []) == (world.store.resolve_alias(alias), world.store.aliases_of(name))
    world.store.rename(name, other)
    assert (False, True) == (world.store.exists(name), world.store.exists(other))
    assert not any(world.store.exists(apart(each)[1]) for each in (name, alias, other))


def test_rows_are_written_read_and_searched_there(there: tuple[World, CollectionSchema]) -> None:
    world, schema = there
    write(world.store, schema, [chunk("d")])
    world.store.load(schema.name)
    now = world.store.moment()
    keys = [key for page in world.store.scan_keys(schema, as_of=now) for key in page]
    assert ["a", "b", "c", "d"] == keys
    (hits,) = world.store.search(schema, vectors(1), limit=1, output_fields=["text"], as_of=now)
    assert 1 == len(hits)
    world.store.delete(schema, ["d"])
    assert [] == world.store.fetch(schema, ["d"])
    world.store.flush(schema.name)
    world.store.index_state(schema.name)


def test_a_database_that_is_not_there_is_said_to_be_missing(
    there: tuple[World, CollectionSchema],
) -> None:
    store = there[0].store
    with pytest.raises(CollectionNotFound, match="no database 'nowhere'"):
        store.describe("nowhere.docs")
    assert not store.exists("nowhere.docs")
    store.drop("nowhere.docs")


@pytest.mark.parametrize("name", [".docs", "default."])
def test_a_name_with_half_of_it_missing_is_of_nothing(
    there: tuple[World, CollectionSchema], name: str
) -> None:
    with pytest.raises(CollectionNotFound):
        there[0].store.describe(name)


def test_a_collection_has_one_name_alone(url: str, there: tuple[World, CollectionSchema]) -> None:
    """Else two bots could have it."""
    world, schema = there
    with pytest.raises(InvalidConfiguration, match="leave it out"):
        world.store.describe("default.docs")
    configured = MilvusVectorStore(url, database=world.database)
    with pytest.raises(InvalidConfiguration, match="leave it out"):
        configured.describe(schema.name)
    _, bare = apart(schema.name)
    described = configured.describe(bare)
    assert replace(schema, name=bare) == described
    assert 3 == configured.count(bare)
    assert not configured.exists(f"default.{bare}")


def test_an_alias_and_its_collection_are_in_one_database(
    there: tuple[World, CollectionSchema],
) -> None:
    world, schema = there
    with pytest.raises(VectorStoreRefused, match="two databases"):
        world.store.point_alias("elsewhere", schema.name)
