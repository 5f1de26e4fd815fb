"""Alembic's environment, for ``upgrade()`` and for the alembic command alike."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, func, select

from migrations.settings import get_settings
from migrations.store.engine import Database
from migrations.store.guarded import SYSTEM_LOCKS
from migrations.store.records import Record

VERSION_TABLE = "schema_revision"
REVISION_LOCK = 3


def run(connection: Connection) -> None:
    # One process at a time: the others find the revisions made when they get the lock.
    connection.execute(select(func.pg_advisory_xact_lock(SYSTEM_LOCKS, REVISION_LOCK)))
    context.configure(
        connection=connection,
        target_metadata=Record.metadata,
        version_table=VERSION_TABLE,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_by_command() -> None:
    """The alembic command hands over no connection; the settings say where the database is."""
    database = Database(get_settings().database_url.get_secret_value())
    with database.transaction() as session:
        run(session.connection())


given = context.config.attributes.get("connection")
if given is None:
    run_by_command()
else:
    run(given)
