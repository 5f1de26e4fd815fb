"""The fake state store's lists of runs, and the events of one."""

from __future__ import annotations

from uuid import UUID

from migrations.model.history import Order, RunSearch, RunSummary
from migrations.model.runs import Event, Migration
from migrations.model.states import LIVE
from tests.fakes.state_rows import StateRows


class FakeHistory(StateRows):
    def runs(self, search: RunSearch) -> list[RunSummary]:
        with self._transaction():
            found = [_summary(run) for run in self._all() if _fits(run, search)]
        newest = search.order is Order.NEWEST
        found.sort(key=lambda run: (run.created_at, run.id), reverse=newest)
        if search.after is not None:
            place = (search.after.created_at, search.after.id)
            here = [(run.created_at, run.id) for run in found]
            found = [
                run
                for run, one in zip(found, here, strict=True)
                if (one < place if newest else one > place)
            ]
        return found[: search.limit]

    def events(self, migration_id: UUID, after: int = 0, limit: int | None = None) -> list[Event]:
        with self._transaction():
            return [event for event in self._events[migration_id] if event.id > after][:limit]


def _fits(run: Migration, search: RunSearch) -> bool:
    said = (
        (search.owner, run.owner),
        (search.bot_id, run.bot_id),
        (search.kind, run.kind),
        (search.phase, run.phase),
    )
    return (
        all(wanted in {None, value} for wanted, value in said)
        and (not search.statuses or run.status in search.statuses)
        and (not search.live or run.status in LIVE)
        and (search.since is None or run.created_at >= search.since)
        and (search.until is None or run.created_at < search.until)
    )


def _summary(run: Migration) -> RunSummary:
    return RunSummary(
        id=run.id,
        bot_id=run.bot_id,
        owner=run.owner,
        requested_by=run.requested_by,
        kind=run.kind,
        reverses=run.reverses,
        status=run.status,
        phase=run.phase,
        source=run.config.source,
        target=run.config.target,
        new_generation=run.new_generation,
        total_chunks=run.totals.get("total_chunks", 0),
        processed_chunks=run.totals.get("processed_chunks", 0),
        waiting_for=run.waiting_for,
        error=run.error,
        created_at=run.created_at,
        started_at=run.started_at,
        switched_at=run.switched_at,
        finished_at=run.finished_at,
    )
