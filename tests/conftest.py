"""The services a test may ask for: real servers, started when first needed.

They are started by the test run itself and never skipped; each is stopped, and
its data removed, when the session ends. A process that tests has its own ones.
A test takes a database, a Redis database or a collection name of its own from
the fixtures below them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from devstack.milvus_lite import MilvusLiteServer
from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from devstack.server import free_port
from tests.services.databases import (
    TEMPLATE,
    create_template,
    fresh_database,
    fresh_redis,
    unique_name,
)
from tests.services.processes import LongestFirst
from tests.services.servers import running
from tests.services.shared import close_what_is_left

# On a machine that is busy an example may take as long as it likes.
hypothesis.settings.register_profile("reembed", deadline=None)
hypothesis.settings.load_profile("reembed")

BROWSER = Path(__file__).parent / "browser"


@pytest.hookimpl(optionalhook=True)  # unknown where xdist is switched off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    return LongestFirst(config, log)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A fresh machine has no browser: these are run when they are asked for (make browser)."""
    asked = any("browser" in argument for argument in config.args)
    return True if collection_path == BROWSER and not asked else None


@pytest.hookimpl(trylast=True)  # when the test's own fixtures are over
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    close_what_is_left(None if nextitem is None else nextitem.path)


# --- one server a session -------------------------------------------------------


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Redis; ``url`` is its database 0, which nobody empties for you."""
    with running(RedisServer(tmp_path_factory.mktemp("services") / "redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL; take a database from ``database_url`` or ``empty_database_url``."""
    with running(PostgresServer(tmp_path_factory.mktemp("services") / "postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def milvus_lite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLiteServer]:
    """The Milvus of the embedded stack."""
    with running(MilvusLiteServer(tmp_path_factory.mktemp("services") / "milvus-lite")) as server:
        yield server


@pytest.fixture(scope="session")
def milvus_standalone_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MilvusStandaloneServer]:
    """The real Milvus 2.3.5, which keeps duplicates and consistency levels apart; ten seconds."""
    data = tmp_path_factory.mktemp("services") / "milvus-standalone"
    with running(MilvusStandaloneServer(data)) as server:
        yield server


# --- something of a test's own --------------------------------------------------


@pytest.fixture(scope="session")
def database_template(postgres_server: PostgresServer) -> str:
    """The name of a database with the newest schema and nothing in it."""
    from migrations.store.revisions import upgrade

    upgrade(create_template(postgres_server))
    return TEMPLATE


@pytest.fixture
def database_url(postgres_server: PostgresServer, database_template: str) -> Iterator[str]:
    """A database with the newest schema, for one test; a SQLAlchemy URL."""
    with fresh_database(postgres_server, database_template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_server: PostgresServer, database_template: str) -> Iterator[str]:
    """As ``database_url``, shared by the tests of a module."""
    with fresh_database(postgres_server, database_template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database without any schema, for one test."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An emptied Redis database for one test."""
    return fresh_redis(redis_server)


@pytest.fixture
def collection_name() -> Callable[[], str]:
    """Makes collection names that no other test has."""
    return lambda: unique_name("c")


# --- all of it, for processes ---------------------------------------------------


@pytest.fixture(scope="session")
def stack_environment(
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_lite_server: MilvusLiteServer,
    database_template: str,
) -> Iterator[dict[str, str]]:
    """Variables that lead reembed's processes to the session's servers and free ports.

    One database and one Redis database for the whole session; change a copy of
    it, e.g. with ``database_url`` and ``redis_url``, for processes of your own.
    """
    with fresh_database(postgres_server, database_template) as database:
        yield {
            "REEMBED_DATABASE_URL": database,
            "REEMBED_REDIS_URL": fresh_redis(redis_server),
            "REEMBED_MILVUS_URI": milvus_lite_server.url,
            "REEMBED_PORT": str(free_port()),
            "REEMBED_FLOWER_PORT": str(free_port()),
            "REEMBED_ENV_FILE": "",  # nothing of a developer's own .env
        }
