"""What the applications' tests share: packages at work, and a system for many runs at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from tests.applications import in_a_table
from tests.applications.moves import Moves, MovesOn
from tests.applications.verdicts import PACKAGES
from tests.harness.world import Servers, World
from tests.services.databases import fresh_database, fresh_redis
from tests.services.shared import closed_after

#: No test dies here, and many runs go at once: looking for the dead would cost more.
FOR_MANY = {
    "REEMBED_MAX_MIGRATIONS_PER_OWNER": "50",
    "REEMBED_MAX_CONCURRENT_MIGRATIONS": "50",
    "REEMBED_HEARTBEAT_SECONDS": "3",
    "REEMBED_STALLED_AFTER_SECONDS": "30",
    "REEMBED_WATCH_EVERY_SECONDS": "2",
    **in_a_table.ADDRESS,
}


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    """Each starts when it is asked first."""

    def stop() -> None:
        for package in PACKAGES:
            package.stop()
        in_a_table.remove_database()

    closed_after(Path(__file__).parent, stop)


@pytest.fixture(scope="session")
def moves_on(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    database_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> MovesOn:
    @contextmanager
    def begun(engine: str, milvus_url: str, at_once: int) -> Iterator[Moves]:
        with fresh_database(postgres_server, database_template) as database:
            servers = Servers(fresh_redis(redis_server), database, milvus_url)
            folder = tmp_path_factory.mktemp("applications")
            with (
                World(servers, folder, FOR_MANY, with_failpoints=False) as world,
                Moves(world, engine, request.session.items, at_once) as moves,
            ):
                yield moves

    return begun
