"""The trail: what was done with which token, for a bounded time and of a bounded length."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from sqlalchemy import delete, insert, select

from migrations.model.access import Deed, TrailEntry, TrailSearch
from migrations.store.engine import Database
from migrations.store.records import TokenRecord, TrailRecord, clock


class SqlTrail:
    """Implements :class:`migrations.ports.trail_store.TrailStore`."""

    _database: Database

    def record_deed(self, deed: Deed) -> None:
        self._database.execute_alone(_RECORD, asdict(deed))

    def trail(self, kept: timedelta, search: TrailSearch) -> list[TrailEntry]:
        wanted = (
            select(TrailRecord, TokenRecord.name, TokenRecord.owner)
            .join(TokenRecord, TokenRecord.id == TrailRecord.token_id)
            .where(TrailRecord.at > clock() - kept)
            .order_by(TrailRecord.id.desc())
            .limit(search.limit)
        )
        if search.before is not None:
            wanted = wanted.where(TrailRecord.id < search.before)
        if search.token_id is not None:
            wanted = wanted.where(TrailRecord.token_id == search.token_id)
        if search.owner is not None:
            wanted = wanted.where(TokenRecord.owner == search.owner)
        if search.subject is not None:
            wanted = wanted.where(TrailRecord.subject == search.subject)
        with self._database.reading() as session:
            return [_as_entry(*row) for row in session.execute(wanted)]

    def trim_trail(self, token_id: int, kept: timedelta, most: int) -> None:
        of_token = TrailRecord.token_id == token_id
        last = (
            select(TrailRecord.id)
            .where(of_token)
            .order_by(TrailRecord.id.desc())
            .offset(most)
            .limit(1)
        )
        with self._database.transaction() as session:
            session.execute(delete(TrailRecord).where(TrailRecord.at <= clock() - kept))
            older = TrailRecord.id <= last.scalar_subquery()
            session.execute(delete(TrailRecord).where(of_token, older))


def _as_entry(row: TrailRecord, token_name: str, owner: str) -> TrailEntry:
    deed = Deed(row.token_id, row.address, row.method, row.route, row.subject, row.status)
    return TrailEntry(row.id, row.at, token_name, owner, deed)


#: Made once, because every request that changes something is recorded.
_RECORD = insert(TrailRecord)
