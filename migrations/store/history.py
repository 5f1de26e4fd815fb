"""Runs as lists show them, and the events of one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select, tuple_

from migrations.model.history import Order, RunSearch, RunSummary
from migrations.model.runs import Event
from migrations.model.states import LIVE, Kind, Phase, Status
from migrations.store.engine import Database
from migrations.store.guarded import has_status
from migrations.store.records import EventRecord, MigrationRecord, as_config

_PLACE = (MigrationRecord.created_at, MigrationRecord.id)
#: What phases have handed over is left where it is: a row may hold a megabyte of reports.
_SHOWN = select(
    MigrationRecord.id,
    MigrationRecord.bot_id,
    MigrationRecord.owner,
    MigrationRecord.requested_by,
    MigrationRecord.kind,
    MigrationRecord.reverses,
    MigrationRecord.status,
    MigrationRecord.phase,
    MigrationRecord.config,
    MigrationRecord.new_generation,
    MigrationRecord.totals,
    MigrationRecord.waiting_for,
    MigrationRecord.error,
    MigrationRecord.created_at,
    MigrationRecord.started_at,
    MigrationRecord.switched_at,
    MigrationRecord.finished_at,
)


class SqlHistory:
    """Implements :class:`migrations.ports.history_store.HistoryStore`."""

    _database: Database

    def runs(self, search: RunSearch) -> list[RunSummary]:
        newest = search.order is Order.NEWEST
        order = [column.desc() if newest else column.asc() for column in _PLACE]
        wanted = _SHOWN.where(*_conditions(search)).order_by(*order).limit(search.limit)
        with self._database.reading() as session:
            return [_as_summary(row) for row in session.execute(wanted)]

    def events(self, migration_id: UUID, after: int = 0, limit: int | None = None) -> list[Event]:
        wanted = (
            select(EventRecord)
            .where(EventRecord.migration_id == migration_id, EventRecord.id > after)
            .order_by(EventRecord.id)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [as_event(row) for row in session.scalars(wanted)]


def _conditions(search: RunSearch) -> list[ColumnElement[bool]]:
    run = MigrationRecord
    found: list[ColumnElement[bool]] = []
    exactly = {run.owner: search.owner, run.bot_id: search.bot_id}
    exactly |= {run.kind: search.kind, run.phase: search.phase}
    found += [column == value for column, value in exactly.items() if value is not None]
    if search.statuses:
        found.append(has_status(*search.statuses))
    if search.live:
        found.append(has_status(*LIVE))
    if search.since is not None:
        found.append(run.created_at >= search.since)
    if search.until is not None:
        found.append(run.created_at < search.until)
    if search.after is not None:
        here, place = tuple_(*_PLACE), (search.after.created_at, search.after.id)
        found.append(here < place if search.order is Order.NEWEST else here > place)
    return found


def _as_summary(row: Row[Any]) -> RunSummary:
    config = as_config(row.config)
    return RunSummary(
        id=row.id,
        bot_id=row.bot_id,
        owner=row.owner,
        requested_by=row.requested_by,
        kind=Kind(row.kind),
        reverses=row.reverses,
        status=Status(row.status),
        phase=Phase(row.phase),
        source=config.source,
        target=config.target,
        new_generation=row.new_generation,
        total_chunks=row.totals.get("total_chunks", 0),
        processed_chunks=row.totals.get("processed_chunks", 0),
        waiting_for=row.waiting_for,
        error=row.error,
        created_at=row.created_at,
        started_at=row.started_at,
        switched_at=row.switched_at,
        finished_at=row.finished_at,
    )


def as_event(row: EventRecord) -> Event:
    phase = Phase(row.phase) if row.phase else None
    return Event(
        id=row.id, at=row.at, name=row.name, phase=phase, epoch=row.epoch, detail=row.detail
    )
