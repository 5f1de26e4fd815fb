"""The fake state store's leases."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from migrations.model.runs import (
    ApplierLease,
    ForwarderLease,
    Lease,
    Migration,
    RunnerLease,
    SweeperLease,
)
from migrations.model.states import LIVE, Kind, Status
from migrations.store.leases import LEFT_BEHIND
from tests.fakes.state_journals import FakeJournals, JournalRow


class FakeLeases(FakeJournals):
    def heartbeat(self, migration_id: UUID, epoch: int) -> bool:
        with self._transaction() as now:
            row = self._at_work(migration_id, epoch)
            if row is not None:
                alive = replace(row.migration, heartbeat_at=now)
                self._rows[migration_id] = replace(row, migration=alive)
            return row is not None

    def take_lease(self, lease: Lease, holder: str, seconds: int) -> bool:
        with self._transaction() as now:
            other, until = self._holder(lease)
            is_free = other in {None, holder} or (until or now) < now
            if not (is_free and self.allows(lease)):
                return False
            self._write(lease, holder, now + timedelta(seconds=seconds))
            if isinstance(lease, RunnerLease):
                self.heartbeat(lease.migration_id, lease.epoch)
            return True

    def release_lease(self, lease: Lease, holder: str) -> None:
        with self._transaction():
            if self._holder(lease)[0] == holder:
                self._write(lease, None, None)

    def allows(self, lease: Lease) -> bool:
        with self._transaction():
            if isinstance(lease, ForwarderLease):
                return True
            if isinstance(lease, ApplierLease):
                row = self._journals.get(lease.bot_id)
                return row is not None and not self._is_held(row)
            if isinstance(lease, RunnerLease):
                return self._at_work(lease.migration_id, lease.epoch) is not None
            return self._is_sweepable(lease)

    # --- within transactions of others -------------------------------------------

    def _holder(self, lease: Lease) -> tuple[str | None, datetime | None]:
        if isinstance(lease, (ApplierLease, ForwarderLease)):
            journal = self._journals.get(lease.bot_id, JournalRow())
            return journal.applier, journal.applier_until
        row = self._row(lease.migration_id)
        if isinstance(lease, RunnerLease):
            return row.runner, row.runner_until
        return row.sweeper, row.sweeper_until

    def _write(self, lease: Lease, holder: str | None, until: datetime | None) -> None:
        if isinstance(lease, (ApplierLease, ForwarderLease)):
            journal = self._journals.setdefault(lease.bot_id, JournalRow())
            self._hand_journal(journal, holder, until)
            return
        row = self._row(lease.migration_id)
        if isinstance(lease, RunnerLease):
            row = replace(row, runner=holder, runner_until=until)
        else:
            row = replace(row, sweeper=holder, sweeper_until=until)
        self._rows[lease.migration_id] = row

    def _hand_journal(self, row: JournalRow, holder: str | None, until: datetime | None) -> None:
        row.applier, row.applier_until = holder, until
        if holder is not None:
            row.wake_at = None

    def _is_sweepable(self, lease: SweeperLease) -> bool:
        migration = self._row(lease.migration_id).migration
        if lease.by is None:
            allowed = not self._has_reverse_run(migration, LIVE)
        else:
            allowed = self._has_reverse_run(migration, {Status.RUNNING}, lease.by)
        return migration.status in LEFT_BEHIND and self._may_go_back(migration) and allowed

    def _may_go_back(self, migration: Migration) -> bool:
        bot = self._bot(migration.bot_id)
        return (
            bot.live.generation == migration.new_generation
            and bot.previous is not None
            and bot.previous.collection == migration.source_collection
        )

    def _has_reverse_run(
        self, migration: Migration, statuses: Collection[Status], only: UUID | None = None
    ) -> bool:
        return any(
            back.reverses == migration.id
            and back.kind is Kind.REVERSE
            and back.status in statuses
            and only in {None, back.id}
            for back in self._all()
        )
