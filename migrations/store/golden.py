"""Golden queries of bots."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from migrations.model.golden import GoldenQuery
from migrations.store.engine import Database
from migrations.store.guarded import PLAINLY, lock_bot
from migrations.store.records import GoldenQueryRecord


class SqlGolden:
    """Implements :class:`migrations.ports.golden_store.GoldenStore`."""

    _database: Database

    def golden_queries(self, bot_id: str) -> list[GoldenQuery]:
        record = GoldenQueryRecord
        wanted = select(record).where(record.bot_id == bot_id).order_by(record.place)
        with self._database.reading() as session:
            rows = session.scalars(wanted)
            return [GoldenQuery(row.id, row.text, tuple(row.relevant)) for row in rows]

    def set_golden_queries(self, bot_id: str, queries: Sequence[GoldenQuery]) -> None:
        with self._database.transaction() as session:
            lock_bot(session, bot_id)
            session.execute(
                delete(GoldenQueryRecord).where(GoldenQueryRecord.bot_id == bot_id),
                execution_options=PLAINLY,
            )
            session.add_all(
                GoldenQueryRecord(
                    bot_id=bot_id, id=q.id, place=place, text=q.text, relevant=list(q.relevant)
                )
                for place, q in enumerate(queries)
            )
