"""One running system for all end-to-end tests: its processes take seconds to start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devstack.milvus_lite import MilvusLiteServer
from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from tests.harness.receiver import SECRET, Receiver, receiving
from tests.harness.world import Servers, World
from tests.services.databases import fresh_database, fresh_redis
from tests.services.shared import closed_after

#: Of the real Milvus: larger targets wait for their index before they are loaded.
UNINDEXED_ROWS = 1_000


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Is told what happens to all migrations of the running system."""
    with receiving(Receiver()) as one:
        yield one


@pytest.fixture(scope="session")
def running_world(
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_lite_server: MilvusLiteServer,
    database_template: str,
    tmp_path_factory: pytest.TempPathFactory,
    receiver: Receiver,
) -> Iterator[World]:
    """API and workers on milvus-lite, with failpoints."""
    with ExitStack() as opened:
        database = opened.enter_context(fresh_database(postgres_server, database_template))
        servers = Servers(fresh_redis(redis_server), database, milvus_lite_server.url)
        # Flower asks for a login before it shows tasks, unless told otherwise.
        settings = {"FLOWER_UNAUTHENTICATED_API": "true"}
        told = {"all": {"url": receiver.url, "secret": SECRET}}
        settings["REEMBED_WEBHOOKS"] = json.dumps(told)
        folder = tmp_path_factory.mktemp("world")
        world = opened.enter_context(World(servers, folder, settings))
        closed_after(Path(__file__).parent, opened.close)
        yield world


@pytest.fixture
def world(running_world: World) -> Iterator[World]:
    """The running system, quiet before and after; a test brings a bot of its own."""
    before = running_world.bots()
    yield running_world
    running_world.settle()
    running_world.forget_limits()
    running_world.forget_bots(but=before)


@pytest.fixture(scope="module")
def standalone_world(
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_standalone_server: MilvusStandaloneServer,
    database_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """API and workers on the real Milvus, without failpoints, as in production.

    Of a module: left running until all tests have ended, they would cost processor time idly.
    """
    settings = {"REEMBED_UNINDEXED_ROWS": str(UNINDEXED_ROWS), "REEMBED_WAVE_SIZE": "64"}
    with fresh_database(postgres_server, database_template) as database:
        servers = Servers(fresh_redis(redis_server), database, milvus_standalone_server.url)
        folder = tmp_path_factory.mktemp("standalone")
        with World(servers, folder, settings, with_failpoints=False) as world:
            yield world
