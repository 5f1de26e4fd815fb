"""Connections to PostgreSQL: one engine per process, and a limit on every wait."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Engine, Executable, Row, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from migrations.model.errors import StateStoreUnavailable
from migrations.store.refusals import refusal_of
from migrations.store.sessions import STATEMENT_SECONDS, connect, limit, see_what_took_effect

CONNECT_SECONDS = 5
#: We give up a server that is silent for longer than it would work on a statement.
SILENCE_SECONDS = STATEMENT_SECONDS + 5
#: Connections a process keeps, and so many more while it is busy.
POOL_SIZE, POOL_OVERFLOW = 5, 20
POOL_SECONDS = 10

UNDEFINED_TABLE = "42P01"


class Database:
    """Transactions on one database, from any thread and on either side of a fork."""

    def __init__(self, database_url: str) -> None:
        self._url = driver_url(database_url)
        self._engines: dict[int, Engine] = {}

    @property
    def engine(self) -> Engine:
        """This process's engine. A forked child must not touch its parent's sockets."""
        pid = os.getpid()
        engine = self._engines.get(pid)
        if engine is None:
            # Making one opens nothing, so that losing this race costs nothing.
            engine = self._engines.setdefault(pid, make_engine(self._url))
        return engine

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commit at the end of the block, roll back on any error.

        Raises:
            StateStoreUnavailable: PostgreSQL does not answer, or not in time.
        """
        engine = self.engine.execution_options(isolation_level="READ COMMITTED")
        with _faults(), Session(engine, expire_on_commit=False) as session, session.begin():
            limit(session.connection())
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """For statements that change nothing: each is a transaction of its own, not asked for.

        Raises as :meth:`transaction`.
        """
        with _faults(), Session(self.engine) as session:
            yield session

    def read_one(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any] | None:
        """The row of a question that every request asks; without a session it costs half.

        Raises as :meth:`transaction`.
        """
        with _faults(), self.engine.connect() as connection:
            return connection.execute(statement, values).one_or_none()

    def execute_alone(self, statement: Executable, values: Mapping[str, Any]) -> None:
        """One statement that is a transaction by itself, without asking to begin and to commit.

        Raises as :meth:`transaction`.
        """
        with _faults(), self.engine.connect() as connection:
            connection.execute(statement, values)

    def close(self) -> None:
        """Close this process's idle connections."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise StateStoreUnavailable("All connections to PostgreSQL are busy.") from error
    except DBAPIError as error:
        unavailable = as_unavailable(error)
        if unavailable is None:
            raise
        raise unavailable from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        # SQLAlchemy wraps what statements meet, not what making a connection ready for them does.
        raise StateStoreUnavailable(refusal_of(str(error))) from error


def as_unavailable(error: DBAPIError) -> StateStoreUnavailable | None:
    """None for an error that trying again does not cure."""
    if isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated:
        return StateStoreUnavailable(refusal_of(str(error.orig)))
    if getattr(error.orig, "pgcode", None) == UNDEFINED_TABLE:
        return StateStoreUnavailable(
            "PostgreSQL does not have reembed's tables; run its schema revisions."
        )
    return None


def driver_url(database_url: str) -> URL:
    """The URL with our driver, which a bare ``postgresql://`` does not name."""
    url = make_url(database_url)
    if url.drivername in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql+psycopg2")
    return url


def make_engine(url: URL) -> Engine:
    # psycopg2 has one wait function per process; ours is the only use of it here.
    extensions.set_wait_callback(wait_with_limit)
    engine = create_engine(
        url,
        # What happens most, a read or a single insert, is a transaction by itself.
        isolation_level="AUTOCOMMIT",
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_SECONDS,
        connect_args={"application_name": "reembed", "connect_timeout": CONNECT_SECONDS},
    )
    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", see_what_took_effect)
    event.listen(engine, "checkout", _refuse_cut)
    return engine


def _refuse_cut(connection: extensions.connection, *_: Any) -> None:
    """Have the pool replace a connection that the server has cut.

    An idle connection has nothing to be read but its server's farewell, and looking for
    that costs no round trip; asking the server (pre-ping) would cost one per transaction.
    A connection that was cut without a word is found by ``SILENCE_SECONDS``.
    """
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        raise DisconnectionError


def wait_with_limit(connection: extensions.connection) -> None:
    """Wait for PostgreSQL like psycopg2 does, but not for ever.

    ``statement_timeout`` bounds a server that works; only this bounds one that
    is frozen or cut off, whose TCP connection may stay open for hours.
    """
    connecting = connection.status == extensions.STATUS_SETUP
    limit_seconds = CONNECT_SECONDS if connecting else SILENCE_SECONDS
    while (state := connection.poll()) != extensions.POLL_OK:
        if not _ready(connection.fileno(), state, limit_seconds):
            # psycopg2 closes the connection when its wait function raises.
            raise psycopg2.OperationalError(f"no answer within {limit_seconds} seconds")


def _ready(descriptor: int, state: int, limit_seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
    return bool(poller.poll(limit_seconds * 1000))
