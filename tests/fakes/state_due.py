"""What the fake state store knows to be due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from migrations.model.runs import Due
from migrations.model.states import LIVE, Status
from migrations.store.due import message_of
from tests.fakes.state_leases import FakeLeases
from tests.fakes.state_rows import DueRow


class FakeDue(FakeLeases):
    def claim_due(self, what: Due, pauses: Sequence[float]) -> list[UUID]:
        claimed = []
        with self._transaction() as now:
            before, self._due[what] = self._due[what], {}
            for one in self._to_come(what):
                key = (one.migration_id, one.collection)
                row = before.get(key) or DueRow(one.since + timedelta(seconds=pauses[0]))
                if one.is_free and max(row.at, one.since) <= now:
                    pause = pauses[min(row.times + 1, len(pauses) - 1)]
                    row = DueRow(now + timedelta(seconds=pause), row.times + 1)
                    epoch = self._row(one.migration_id).migration.epoch
                    message = message_of(what, one.migration_id, epoch, row.times, one.collection)
                    self._post(one.migration_id, message, now)
                    claimed.append(one.migration_id)
                self._due[what][key] = row
        return claimed

    def due_again(self, what: Due, migration_id: UUID, after_seconds: float) -> None:
        with self._transaction() as now:
            for key, row in self._due[what].items():
                if key[0] == migration_id:
                    at = now + timedelta(seconds=after_seconds)
                    self._due[what][key] = replace(row, at=at)

    def _to_come(self, what: Due) -> Iterator[ToCome]:
        if what is Due.DROP:
            for held in self._held_ones.values():
                if held.drop_after is not None:
                    yield ToCome(held.migration_id, held.collection, held.drop_after, True)
            return
        for run in self._all():
            bot = self._bot(run.bot_id)
            if run.status is not Status.COMPLETED or not self._may_go_back(run):
                continue
            assert run.finished_at is not None
            assert bot.previous is not None
            if what is Due.SWEEP:
                since, is_free = run.finished_at, not self._has_reverse_run(run, LIVE)
            else:
                since, is_free = bot.previous.expires_at, self._live(bot.bot_id) is None
            yield ToCome(run.id, run.source_collection, since, is_free)


@dataclass(frozen=True)
class ToCome:
    migration_id: UUID
    collection: str
    since: datetime
    is_free: bool
