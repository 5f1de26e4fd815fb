"""The fake state store's snapshots, notes of what was written, and conflicts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from migrations.lifecycle.change import (
    breaches_told,
    conflicts_settled,
    conflicts_told,
    jsonable,
    storable,
)
from migrations.model.errors import RollbackUnavailable, Superseded
from migrations.model.left_behind import (
    NOT_KNOWN_IN_COMMON,
    Conflict,
    ConflictPlace,
    ConflictReason,
    KeptConflict,
)
from migrations.model.runs import Migration
from migrations.model.snapshot import SnapshotPart, WrittenRow, key_hash
from migrations.store.late_writes import NAMED
from tests.fakes.state_rows import StateRows


class FakeLateWrites(StateRows):
    def keep_part(self, migration_id: UUID, epoch: int, part: SnapshotPart) -> None:
        with self._transaction():
            self._require_epoch(migration_id, epoch)
            self._frozen[migration_id][part.number] = part

    def end_snapshot(self, migration_id: UUID, epoch: int, parts: int) -> None:
        with self._transaction():
            self._require_epoch(migration_id, epoch)
            kept = {n: part for n, part in self._frozen[migration_id].items() if n < parts}
            self._frozen[migration_id] = kept

    def snapshot_part(self, migration_id: UUID, number: int) -> SnapshotPart | None:
        with self._transaction():
            return self._frozen[migration_id].get(number)

    def replace_part(self, migration_id: UUID, sweeper: str, part: SnapshotPart) -> None:
        with self._transaction():
            if self._row(migration_id).sweeper != sweeper:
                raise Superseded
            self._frozen[migration_id][part.number] = part

    def has_whole_snapshot(self, migration_id: UUID) -> bool:
        with self._transaction():
            return any(p.within.upto is None for p in self._frozen[migration_id].values())

    def _hand_over_snapshot(self, to: Migration) -> None:
        if to.reverses is None or not to.switches_first:
            return
        if not self.has_whole_snapshot(to.reverses):
            raise RollbackUnavailable(NOT_KNOWN_IN_COMMON)
        self._frozen[to.id] = self._frozen.pop(to.reverses)
        swept = self._row(to.reverses)
        self._rows[to.reverses] = replace(swept, sweeper=None, sweeper_until=None)

    def forget_snapshot(self, migration_id: UUID) -> None:
        with self._transaction():
            self._frozen.pop(migration_id, None)
            self._written.pop(migration_id, None)

    def forget_earlier_snapshots(self, migration_id: UUID) -> None:
        with self._transaction():
            self._forget_snapshots_of(self._row(migration_id).migration.bot_id, but=migration_id)

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

    def record_conflicts(self, migration_id: UUID, conflicts: Sequence[Conflict]) -> None:
        with self._held(migration_id) as held:
            kept = self._conflicts[migration_id]
            for one in conflicts:
                kept[one.key] = Conflict(storable(one.key), jsonable(one.fields), one.reason)
                self._conflicted_at[migration_id, one.key] = held.now
            self._apply(held, conflicts_told(held, len(kept), self._back(migration_id)))

    def tell_breaches(self, migration_id: UUID, found: Sequence[str]) -> None:
        with self._held(migration_id) as held:
            self._apply(held, breaches_told(held, found))

    def conflicts(self, migration_id: UUID, limit: int = 100) -> list[Conflict]:
        with self._transaction():
            kept = self._conflicts[migration_id].values()
            return sorted(kept, key=lambda one: one.key)[:limit]

    def conflict_page(
        self,
        bot_id: str,
        migration_id: UUID | None,
        after: ConflictPlace | None,
        limit: int,
    ) -> list[KeptConflict]:
        with self._transaction():
            found = [
                KeptConflict(
                    one, ConflictPlace(self._conflicted_at[m.id, key], m.id, key_hash(key).hex())
                )
                for m in self._all()
                if m.bot_id == bot_id and migration_id in {None, m.id}
                for key, one in self._conflicts[m.id].items()
            ]
            found.sort(key=lambda one: _order(one.place), reverse=True)
            return [k for k in found if after is None or _order(k.place) < _order(after)][:limit]

    def settle_conflicts(self, bot_id: str, keys: Collection[str] | None, by: str) -> int:
        settled = 0
        for run in [m.id for m in self._all() if m.bot_id == bot_id]:
            with self._held(run) as held:
                kept = self._conflicts[run]
                judged = [k for k, one in kept.items() if keys is None or one.key in keys]
                for key in judged:
                    del kept[key]
                if judged:
                    change = conflicts_settled(held, len(judged), len(kept), self._back(run), by)
                    self._apply(held, change)
                settled += len(judged)
        return settled

    def _back(self, migration_id: UUID) -> list[str]:
        kept = self._conflicts[migration_id].items()
        return sorted(k for k, one in kept if one.reason is ConflictReason.CAME_BACK)[:NAMED]

    def count_conflicts(self, bot_id: str) -> int:
        with self._transaction():
            return sum(len(self._conflicts[m.id]) for m in self._all() if m.bot_id == bot_id)

    def _require_epoch(self, migration_id: UUID, epoch: int) -> None:
        if self._at_work(migration_id, epoch) is None:
            raise Superseded


def _order(place: ConflictPlace) -> tuple[datetime, UUID, str]:
    return place.at, place.migration_id, place.key_digest
