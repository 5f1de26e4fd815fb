"""Grants: which collections an owner may register."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from migrations.model.access import Grant
from migrations.model.errors import GrantNotFound
from migrations.store.engine import Database
from migrations.store.records import GrantRecord


class SqlGrants:
    """Implements :class:`migrations.ports.grant_store.GrantStore`."""

    _database: Database

    def add_grant(self, owner: str, pattern: str, by: str) -> Grant:
        new = insert(GrantRecord).values(owner=owner, pattern=pattern, granted_by=by)
        # Writing what is there lets the row be returned.
        kept = new.on_conflict_do_update(
            index_elements=["owner", "pattern"], set_={"pattern": pattern}
        )
        with self._database.transaction() as session:
            return _as_grant(session.scalars(kept.returning(GrantRecord)).one())

    def grants(self, owner: str | None = None) -> list[Grant]:
        wanted = select(GrantRecord).order_by(GrantRecord.owner, GrantRecord.pattern)
        if owner is not None:
            wanted = wanted.where(GrantRecord.owner == owner)
        with self._database.reading() as session:
            return [_as_grant(row) for row in session.scalars(wanted)]

    def remove_grant(self, grant_id: int) -> None:
        removing = delete(GrantRecord).where(GrantRecord.id == grant_id).returning(GrantRecord.id)
        with self._database.transaction() as session:
            if session.execute(removing).one_or_none() is None:
                raise GrantNotFound


def _as_grant(row: GrantRecord) -> Grant:
    return Grant(row.id, row.owner, row.pattern, row.granted_by, row.granted_at)
