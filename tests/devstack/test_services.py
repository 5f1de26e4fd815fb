"""The fixtures of tests/conftest.py: everybody gets something of their own."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2
import redis

from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from migrations.settings import Settings
from tests.services.databases import fresh_database, fresh_redis


def plain(url: str) -> str:
    return url.replace("+psycopg2", "")


def tables(url: str) -> set[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    connection = psycopg2.connect(plain(url))
    with connection.cursor() as cursor:
        cursor.execute(query)
        found = {row[0] for row in cursor.fetchall()}
    connection.close()
    return found


def test_a_fresh_database_has_the_newest_schema(database_url: str) -> None:
    assert {"bots", "migrations", "schema_revision"} <= tables(database_url)


def test_an_empty_database_has_none(empty_database_url: str) -> None:
    assert set() == tables(empty_database_url)


def test_two_databases_do_not_see_each_other(postgres_server: PostgresServer) -> None:
    with fresh_database(postgres_server) as one, fresh_database(postgres_server) as other:
        connection = psycopg2.connect(plain(one))
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE mine ()")
        connection.close()
        assert ({"mine"}, set()) == (tables(one), tables(other))


def test_a_database_goes_even_while_somebody_is_connected(postgres_server: PostgresServer) -> None:
    with fresh_database(postgres_server) as url:
        lingering = psycopg2.connect(plain(url))
    query = "SELECT count(*) FROM pg_database WHERE datname = %s"
    looking = postgres_server.connect("postgres")
    with looking.cursor() as cursor:
        cursor.execute(query, [url.rsplit("/", 1)[1]])
        assert (0,) == cursor.fetchone()
    looking.close()
    lingering.close()


def test_a_fresh_redis_database_is_empty_however_often_it_was_used(
    redis_server: RedisServer,
) -> None:
    for _ in range(20):
        with redis.Redis.from_url(fresh_redis(redis_server)) as client:
            assert 0 == client.dbsize()
            client.set("left", "behind")


def test_collection_names_are_never_given_twice(collection_name: Callable[[], str]) -> None:
    assert 1000 == len({collection_name() for _ in range(1000)})


def test_the_environment_makes_settings(stack_environment: dict[str, str]) -> None:
    fields = {
        name.removeprefix("REEMBED_").lower(): value for name, value in stack_environment.items()
    }
    settings = Settings(_env_file=None, **fields)
    assert stack_environment["REEMBED_MILVUS_URI"] == settings.milvus_uri
    assert stack_environment["REEMBED_PORT"] == str(settings.port)
