"""What a session of PostgreSQL is limited to, also behind a pooler.

A pooler in transaction mode (PgBouncer) gives every transaction another session. It refuses or
ignores what a client says about its session when it connects, and what is set in one would stay
for whoever comes next. So each connection is asked whether its limits hold; where they do not,
each transaction begins by setting its own. What is read alone is no transaction of ours and
is then limited by our own patience only (``SILENCE_SECONDS``).
"""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Connection, Dialect
from sqlalchemy.pool import ConnectionPoolEntry

#: The server gives up a statement, waits for locks included.
STATEMENT_SECONDS = 30
#: The server ends a transaction whose process says nothing for so long. One that was
#: stopped would keep the watch, or a migration's row, from everybody until it went on.
IDLE_SECONDS = 15

_LIMITED_BY_TRANSACTION = "limited_by_transaction"


def _limits() -> dict[str, str]:
    return {
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    }


def connect(
    dialect: Dialect, _record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> Any:
    """Connect with the limits, or without them to a pooler that refuses to hear them."""
    limits = " ".join(f"-c {name}={value}" for name, value in _limits().items())
    try:
        return dialect.connect(*arguments, **options, options=limits)
    except psycopg2.OperationalError as refusal:
        if "startup parameter" not in str(refusal):
            raise
        return dialect.connect(*arguments, **options)


def see_what_took_effect(connection: extensions.connection, record: ConnectionPoolEntry) -> None:
    """Ask, because a pooler may also ignore what it is told."""
    with connection.cursor() as cursor:
        # The time zone is one of the few things that a pooler keeps for each of its clients.
        cursor.execute("SET TIME ZONE 'UTC'; SELECT current_setting('statement_timeout')")
        (effective,) = cursor.fetchone() or (None,)
    connection.commit()
    record.info[_LIMITED_BY_TRANSACTION] = effective != _limits()["statement_timeout"]


def limit(connection: Connection) -> None:
    """Limit the transaction that has begun, if its session is not."""
    if connection.info[_LIMITED_BY_TRANSACTION]:
        limits = _limits().items()
        connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = '{to}'" for name, to in limits))
