"""The state stores and vector stores that their contract suites run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from devstack.milvus_lite import MilvusLiteServer
from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.postgres import PostgresServer
from migrations.store import SqlMigrationStore
from tests.contract import vector_store_world
from tests.contract.limiter_simulation import Limited, Limiting, SimulatedTime, simulated_time
from tests.contract.state_store_world import Memory, World, emptied, in_memory, on_postgres
from tests.services.databases import fresh_database


@pytest.fixture
def time(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedTime]:
    """Of limiters on the real Redis."""
    with simulated_time(redis_url, monkeypatch) as simulated:
        yield simulated


@pytest.fixture
def limited(redis_url: str, time: SimulatedTime) -> Limiting:
    return lambda rules: Limited(redis_url, time, rules)


@pytest.fixture(scope="session")
def state_database(postgres_server: PostgresServer, database_template: str) -> Iterator[str]:
    """A database with our tables, for all tests of the state store."""
    with fresh_database(postgres_server, database_template) as url:
        yield url


@pytest.fixture(scope="session")
def sql_store(state_database: str) -> Iterator[SqlMigrationStore]:
    """One for all, as in a worker: a new one compiles every statement anew."""
    store = SqlMigrationStore(state_database)
    yield store
    store.close()


@pytest.fixture(scope="session")
def memory(sql_store: SqlMigrationStore, state_database: str) -> Iterator[Memory]:
    """What was made there for earlier tests."""
    engine = create_engine(state_database)
    yield Memory(sql_store, engine)
    engine.dispose()


@pytest.fixture(params=["fake", "postgres"])
def state(request: pytest.FixtureRequest) -> World:
    """An empty state store: the fake, then the real one."""
    if request.param == "fake":
        return in_memory()
    memory: Memory = request.getfixturevalue("memory")
    emptied(memory.engine)
    return on_postgres(memory)


@pytest.fixture(scope="session")
def on_lite(milvus_lite_server: MilvusLiteServer) -> vector_store_world.World:
    return vector_store_world.world_at(milvus_lite_server.url)


@pytest.fixture(scope="session")
def on_standalone(
    milvus_standalone_server: MilvusStandaloneServer,
) -> Iterator[vector_store_world.World]:
    yield from _supplied(vector_store_world.world_at(milvus_standalone_server.url))


@pytest.fixture(scope="session")
def on_standalone_named(
    milvus_standalone_server: MilvusStandaloneServer,
) -> Iterator[vector_store_world.World]:
    """In a database that the names say, where Milvus 2.3.5 answers some questions otherwise."""
    yield from _supplied(vector_store_world.world_at(milvus_standalone_server.url, "our_own"))


def _supplied(world: vector_store_world.World) -> Iterator[vector_store_world.World]:
    assert world.client is not None
    world.supply = vector_store_world.Supply(world.store, world.client, world.database)
    yield world
    world.supply.close()
