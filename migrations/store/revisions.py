"""Schema revisions: how the tables come to be and change (Alembic).

These are changes of our own database; the word migration is kept for a bot's
move from one embedding to another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config

from migrations.store.engine import Database

SCRIPTS = str(Path(__file__).parent / "schema")

#: Alembic's environment is global to the process; between processes a lock of
#: PostgreSQL decides (schema/env.py).
_one_at_a_time = threading.Lock()


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the tables to ``revision``; any number of processes may do so at once.

    Raises:
        StateStoreUnavailable: PostgreSQL does not answer.
    """
    _with_connection(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str) -> None:
    """Take the tables back to ``revision`` ("base" is before the first); what they held is lost."""
    _with_connection(database_url, lambda config: command.downgrade(config, revision))


def _with_connection(database_url: str, run: Callable[[Config], None]) -> None:
    database = Database(database_url)
    try:
        with _one_at_a_time, database.transaction() as session:
            config = Config()
            config.set_main_option("script_location", SCRIPTS.replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = session.connection()
            run(config)
    finally:
        database.close()
