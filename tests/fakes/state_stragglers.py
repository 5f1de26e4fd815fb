"""The fake state store's snapshots, sweepers and conflicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from migrations.lifecycle.change import conflicts_told, jsonable, storable
from migrations.model import messages
from migrations.model.errors import Superseded
from migrations.model.left_behind import Conflict
from migrations.model.runs import Migration
from migrations.model.snapshot import FrozenPart, WrittenRow
from migrations.model.states import LIVE, Kind, Status
from migrations.store.stragglers import LEFT_BEHIND
from tests.fakes.state_rows import StateRows


class FakeStragglers(StateRows):
    def freeze(self, migration_id: UUID, epoch: int, part: FrozenPart) -> None:
        with self._transaction():
            self._require_epoch(migration_id, epoch)
            self._frozen[migration_id][part.number] = part

    def end_freezing(self, migration_id: UUID, epoch: int, parts: int) -> None:
        with self._transaction():
            self._require_epoch(migration_id, epoch)
            kept = {n: part for n, part in self._frozen[migration_id].items() if n < parts}
            self._frozen[migration_id] = kept

    def frozen_part(self, migration_id: UUID, number: int) -> FrozenPart | None:
        with self._transaction():
            return self._frozen[migration_id].get(number)

    def refreeze(self, migration_id: UUID, sweeper: str, part: FrozenPart) -> None:
        with self._transaction():
            if self._row(migration_id).sweeper != sweeper:
                raise Superseded
            self._frozen[migration_id][part.number] = part

    def forget_frozen(self, migration_id: UUID) -> None:
        with self._transaction():
            self._frozen.pop(migration_id, None)
            self._written.pop(migration_id, None)

    def forget_earlier_frozen(self, migration_id: UUID) -> None:
        with self._transaction():
            self._forget_frozen_of(self._row(migration_id).migration.bot_id, but=migration_id)

    def note_written(self, migration_id: UUID, rows: Sequence[WrittenRow]) -> None:
        assert len({row.key for row in rows}) == len(rows), "PostgreSQL takes each key once"
        with self._transaction() as now:
            noted = self._written[migration_id]
            for row in rows:
                before = noted.pop(row.key, (WrittenRow(row.key), now))[0]
                noted[row.key] = (replace(row, was=before.was | row.was), now)

    def written_rows(self, migration_id: UUID, limit: int) -> list[WrittenRow]:
        with self._transaction():
            latest = sorted(self._written[migration_id].values(), key=lambda note: note[1])
            return [row for row, _ in reversed(latest)][:limit]

    def forget_written(self, migration_id: UUID, older_than_seconds: float = 0) -> None:
        with self._transaction() as now:
            before = now - timedelta(seconds=older_than_seconds)
            noted = self._written[migration_id]
            self._written[migration_id] = {k: n for k, n in noted.items() if n[1] > before}

    def may_be_swept(self, migration_id: UUID, by: UUID | None = None) -> bool:
        with self._transaction():
            return self._is_sweepable(self._row(migration_id).migration, by)

    def take_sweeper(
        self, migration_id: UUID, sweeper: str, seconds: int, by: UUID | None = None
    ) -> bool:
        with self._transaction() as now:
            row = self._row(migration_id)
            is_free = row.sweeper in {None, sweeper} or (row.sweeper_until or now) < now
            if not is_free or not self._is_sweepable(row.migration, by):
                return False
            until = now + timedelta(seconds=seconds)
            self._rows[migration_id] = replace(row, sweeper=sweeper, sweeper_until=until)
            return True

    def release_sweeper(self, migration_id: UUID, sweeper: str) -> None:
        with self._transaction():
            row = self._row(migration_id)
            if row.sweeper == sweeper:
                self._rows[migration_id] = replace(row, sweeper=None, sweeper_until=None)

    def record_conflicts(self, migration_id: UUID, conflicts: Sequence[Conflict]) -> None:
        with self._held(migration_id) as held:
            kept = self._conflicts[migration_id]
            for one in conflicts:
                kept[one.key] = Conflict(storable(one.key), jsonable(one.fields), one.reason)
            self._apply(held, conflicts_told(held, len(kept)))

    def conflicts(self, migration_id: UUID, limit: int = 100) -> list[Conflict]:
        with self._transaction():
            kept = self._conflicts[migration_id].values()
            return sorted(kept, key=lambda one: one.key)[:limit]

    def count_conflicts(self, bot_id: str) -> int:
        with self._transaction():
            return sum(len(self._conflicts[m.id]) for m in self._all() if m.bot_id == bot_id)

    def claim_sweeps(
        self, first_seconds: float, second_seconds: float, every_seconds: float
    ) -> list[UUID]:
        claimed = []
        with self._transaction() as now:
            for migration in self._all():
                if not self._sweep_is_due(migration, first_seconds, now):
                    continue
                row = self._row(migration.id)
                pause = every_seconds if row.sweeps else second_seconds
                number, at = row.sweeps + 1, now + timedelta(seconds=pause)
                self._rows[migration.id] = replace(row, sweeps=number, sweep_at=at)
                message = messages.sweep(migration.id, migration.epoch, number)
                self._post(migration.id, message, now)
                claimed.append(migration.id)
        return claimed

    def sweep_again(self, migration_id: UUID, after_seconds: float) -> None:
        with self._transaction() as now:
            at = now + timedelta(seconds=after_seconds)
            self._rows[migration_id] = replace(self._row(migration_id), sweep_at=at)

    def _sweep_is_due(self, migration: Migration, first_seconds: float, now: datetime) -> bool:
        if migration.status is not Status.COMPLETED or migration.finished_at is None:
            return False
        first = migration.finished_at + timedelta(seconds=first_seconds)
        due = (self._row(migration.id).sweep_at or first) <= now
        return due and self._is_sweepable(migration, None)

    def _is_sweepable(self, migration: Migration, by: UUID | None) -> bool:
        bot = self._bot(migration.bot_id)
        is_where_it_was = (
            bot.live.generation == migration.new_generation
            and bot.previous is not None
            and bot.previous.collection == migration.source_collection
        )
        backs = [m for m in self._all() if m.reverses == migration.id and m.kind is Kind.REVERSE]
        if by is None:
            allowed = all(back.status not in LIVE for back in backs)
        else:
            allowed = any(b.id == by and b.status is Status.RUNNING for b in backs)
        return migration.status in LEFT_BEHIND and is_where_it_was and allowed

    def _require_epoch(self, migration_id: UUID, epoch: int) -> None:
        if self._at_work(migration_id, epoch) is None:
            raise Superseded
