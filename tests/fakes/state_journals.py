"""The fake state store's journals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from migrations.lifecycle.change import storable
from migrations.model.chunks import Key
from migrations.model.errors import IdempotencyConflict, JournalFull, Superseded
from migrations.model.states import BEFORE_SWITCH, Status
from migrations.model.writes import PORTION, Appended, Entry, FailedWrite, Journal, OnceOnly, Write
from migrations.store.journals import KEPT_ENTRIES, WOKEN_SECONDS
from tests.fakes.state_rows import StateRows


@dataclass
class JournalRow:
    """One bot's."""

    entries: dict[int, tuple[Write, datetime]] = field(default_factory=dict)
    failed: dict[int, FailedWrite] = field(default_factory=dict)
    requests: dict[str, tuple[str, Appended]] = field(default_factory=dict)
    last: int = 0
    applied: int = 0
    applier: str | None = None
    applier_until: datetime | None = None
    #: The run that is about to switch, and its epoch.
    watched_for: tuple[UUID, int] | None = None
    watched_from: int | None = None
    holds: bool = False
    wake_at: datetime | None = None
    waiting_for: str | None = None

    def is_free(self, now: datetime) -> bool:
        return self.applier is None or (self.applier_until or now) < now

    def is_unwoken(self, now: datetime) -> bool:
        return self.is_free(now) and (self.wake_at is None or self.wake_at < now)


class FakeJournals(StateRows):
    def append(
        self,
        bot_id: str,
        writes: Sequence[Write],
        most_waiting: int,
        request: OnceOnly | None = None,
    ) -> Appended:
        with self._transaction() as now:
            self._bot(bot_id)
            row = self._journals.setdefault(bot_id, JournalRow())
            if request is not None and request.key in row.requests:
                digest, earlier = row.requests[request.key]
                if digest != request.digest:
                    raise IdempotencyConflict
                return Appended(earlier.after, earlier.upto, replayed=True)
            if row.last - row.applied + len(writes) > most_waiting:
                raise JournalFull(waiting=row.last - row.applied)
            wake = row.is_unwoken(now) and not self._is_held(row)
            if wake:
                row.wake_at = now + timedelta(seconds=WOKEN_SECONDS)
            after = row.last
            for write in writes:
                row.last += 1
                row.entries[row.last] = (write, now)
            appended = Appended(after, row.last, wake)
            if request is not None:
                row.requests[request.key] = (request.digest, appended)
            return appended

    def journal(self, bot_id: str) -> Journal:
        with self._transaction():
            row = self._journals.get(bot_id)
            if row is None:
                return Journal()
            first = row.entries.get(row.applied + 1)
            return Journal(
                row.last,
                row.applied,
                first[1] if first else None,
                row.waiting_for,
                self._is_held(row),
                len(row.failed),
            )

    def failed_writes(
        self, bot_id: str, *, after: int = 0, upto: int | None = None, limit: int = 100
    ) -> list[FailedWrite]:
        with self._transaction():
            failed = self._journals.get(bot_id, JournalRow()).failed
            wanted = [p for p in sorted(failed) if p > after and (upto is None or p <= upto)]
            return [failed[position] for position in wanted[:limit]]

    def unapplied(self, bot_id: str, limit: int) -> tuple[int, list[Entry]]:
        with self._transaction():
            row = self._journals.get(bot_id, JournalRow())
            wanted = [p for p in sorted(row.entries) if p > row.applied]
            entries = [Entry(position, row.entries[position][0]) for position in wanted[:limit]]
            return (row.applied if entries else 0), entries

    def advance(
        self,
        bot_id: str,
        holder: str,
        generation: int,
        after: int,
        upto: int,
        done: Collection[Key] = (),
        failed: Sequence[FailedWrite] = (),
    ) -> bool:
        with self._transaction() as now:
            row = self._journals[bot_id]
            is_his = row.applier == holder and not row.is_free(now)
            if (
                not is_his
                or self._bot(bot_id).live.generation != generation
                or row.applied != after
            ):
                return False
            row.applied, row.waiting_for = upto, None
            row.failed = {p: f for p, f in row.failed.items() if f.key not in set(done)}
            for one in failed:
                told = FailedWrite(one.position, one.key, one.code, storable(one.message))
                row.failed[one.position] = told
            old = upto - KEPT_ENTRIES
            if row.watched_from is not None and self._is_watched(row):
                old = min(old, row.watched_from)
            kept = {p: e for p, e in row.entries.items() if p > old or p in row.failed}
            row.entries = kept
            return True

    def apply_again(self, bot_id: str, after: int) -> None:
        with self._transaction():
            row = self._journals[bot_id]
            row.applied = min(row.applied, after)
            if row.watched_from is not None:
                row.watched_from = min(row.watched_from, after)

    def put_off(self, bot_id: str, holder: str, reason: str, seconds: float) -> None:
        with self._transaction() as now:
            row = self._journals[bot_id]
            if row.applier == holder:
                row.waiting_for = storable(reason)
                row.wake_at = now + timedelta(seconds=seconds)

    def claim_journals(self, bot_id: str | None = None) -> list[str]:
        with self._transaction() as now:
            claimed = []
            for its_id, row in self._journals.items():
                is_due = row.applied < row.last and row.is_unwoken(now) and not self._is_held(row)
                if is_due and bot_id in {None, its_id}:
                    row.wake_at = now + timedelta(seconds=WOKEN_SECONDS)
                    claimed.append(its_id)
            return claimed

    def watch_journal(self, migration_id: UUID, epoch: int, *, anew: bool = False) -> list[Key]:
        with self._transaction():
            row = self._watched(migration_id, epoch)
            since = row.applied if anew or row.watched_from is None else row.watched_from
            row.watched_from = row.applied
            upto = row.applied + PORTION
            return list({w.key: None for p, (w, _) in row.entries.items() if since < p <= upto})

    def hold_journal(self, migration_id: UUID, epoch: int) -> bool:
        with self._transaction() as now:
            row = self._watched(migration_id, epoch)
            row.holds = True
            return row.is_free(now)

    def let_go_journal(self, migration_id: UUID, epoch: int) -> None:
        with self._transaction():
            for row in self._journals.values():
                if row.watched_for == (migration_id, epoch):
                    row.holds = False

    # --- within transactions of others -------------------------------------------

    def _watched(self, migration_id: UUID, epoch: int) -> JournalRow:
        if not self._is_about_to_switch(migration_id, epoch):
            raise Superseded
        bot_id = self._row(migration_id).migration.bot_id
        row: JournalRow = self._journals.setdefault(bot_id, JournalRow())
        if row.watched_for != (migration_id, epoch):
            row.watched_for, row.watched_from, row.holds = (migration_id, epoch), None, False
        return row

    def _is_held(self, row: JournalRow) -> bool:
        return row.holds and self._is_watched(row)

    def _is_watched(self, row: JournalRow) -> bool:
        return row.watched_for is not None and self._is_about_to_switch(*row.watched_for)

    def _is_about_to_switch(self, migration_id: UUID, epoch: int) -> bool:
        row = self._rows.get(migration_id)
        if row is None or row.migration.epoch != epoch:
            return False
        return row.migration.status in BEFORE_SWITCH | {Status.SWITCHING}
