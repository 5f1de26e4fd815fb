"""The authority: PostgreSQL behind :class:`migrations.ports.state_store.MigrationStore`."""

from __future__ import annotations

from migrations.store.bots import SqlBots
from migrations.store.decisions import SqlDecisions
from migrations.store.due import SqlDue
from migrations.store.engine import Database
from migrations.store.figures import SqlFigures
from migrations.store.golden import SqlGolden
from migrations.store.grants import SqlGrants
from migrations.store.history import SqlHistory
from migrations.store.journals import SqlJournals
from migrations.store.kept import SqlKept
from migrations.store.keys import SqlKeys
from migrations.store.late_writes import SqlLateWrites
from migrations.store.leases import SqlLeases
from migrations.store.ledger import SqlLedger
from migrations.store.notifications import SqlNotifications
from migrations.store.removal import SqlRemoval
from migrations.store.rollbacks import SqlRollbacks
from migrations.store.runs import SqlRuns
from migrations.store.starts import SqlStarts
from migrations.store.steering import SqlSteering
from migrations.store.switches import SqlSwitches
from migrations.store.texts import SqlTexts
from migrations.store.tokens import SqlTokens
from migrations.store.trail import SqlTrail
from migrations.store.watch import SqlWatch
from migrations.store.workers import SqlWorkers

__all__ = ["SqlMigrationStore"]


class SqlMigrationStore(
    SqlBots,
    SqlRemoval,
    SqlStarts,
    SqlRuns,
    SqlHistory,
    SqlLeases,
    SqlSwitches,
    SqlRollbacks,
    SqlDecisions,
    SqlSteering,
    SqlLedger,
    SqlWatch,
    SqlTokens,
    SqlGrants,
    SqlGolden,
    SqlTrail,
    SqlLateWrites,
    SqlKept,
    SqlKeys,
    SqlTexts,
    SqlDue,
    SqlJournals,
    SqlWorkers,
    SqlFigures,
    SqlNotifications,
):
    """Every method is one transaction; safe for threads and across forks.

    ``database_url`` is SQLAlchemy's, e.g. ``postgresql+psycopg2://user:pw@host/db``.
    Nothing is connected before the first call.
    """

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url)

    def close(self) -> None:
        """Close this process's idle connections; the store can be used again afterwards."""
        self._database.close()
