"""Databases and key spaces of a test's own, on the servers of the session."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import redis
from psycopg2 import sql

from devstack.postgres import PostgresServer
from devstack.redis import RedisServer

TEMPLATE = "reembed_template"
#: Database 0 is what ``redis_server.url`` names; the others are handed out in turn.
_redis_databases = itertools.cycle(range(1, 16))


def unique_name(prefix: str = "t") -> str:
    """A name that nothing else has: for a collection, a bot, a database."""
    return f"{prefix}_{uuid4().hex[:12]}"


@contextmanager
def fresh_database(server: PostgresServer, template: str = "template1") -> Iterator[str]:
    """A database that is dropped in the end, as a SQLAlchemy URL."""
    name = unique_name("db")
    _execute(
        server,
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        ),
    )
    try:
        yield server.url_of(name)
    finally:
        # FORCE: what a test left connected must not keep its database.
        _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def create_template(server: PostgresServer) -> str:
    """An empty database to be brought to the newest schema and copied; its URL."""
    _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    return server.url_of(TEMPLATE)


def fresh_redis(server: RedisServer) -> str:
    """The URL of an emptied database; after fifteen more calls it is handed out again."""
    url = server.url_of(next(_redis_databases))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


def _execute(server: PostgresServer, statement: sql.Composable) -> None:
    connection = server.connect("postgres")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
