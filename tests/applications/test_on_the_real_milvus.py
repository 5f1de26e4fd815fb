"""Bots of real applications on the real Milvus, registered as they come, go away and come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from tests.applications.moves import Moves, names_on
from tests.applications.verdicts import REAL
from tests.harness.world import Servers, World
from tests.services.databases import fresh_database, fresh_redis


@pytest.fixture(scope="module")
def moves(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_standalone_server: MilvusStandaloneServer,
    database_template: str,
    tmp_path_factory: pytest.TempPathFactory,
    settings_for_many: dict[str, str],
) -> Iterator[Moves]:
    with fresh_database(postgres_server, database_template) as database:
        servers = Servers(fresh_redis(redis_server), database, milvus_standalone_server.url)
        folder = tmp_path_factory.mktemp("applications")
        with (
            World(servers, folder, settings_for_many, with_failpoints=False) as world,
            Moves(world, REAL, request.session.items, at_once=10) as moves,
        ):
            yield moves


@pytest.mark.parametrize("name", names_on(REAL))
def test_its_text_is_found_right_or_it_is_refused(moves: Moves, name: str) -> None:
    moves.assert_as_expected(name)
