"""What the fake state store holds, and how a decided change is written to it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from threading import RLock
from typing import Any
from uuid import UUID

from migrations.lifecycle.change import Change, LockedRun, is_transition
from migrations.lifecycle.sequence import first_phase
from migrations.model.access import Grant, TrailEntry
from migrations.model.bots import Bot, Caller
from migrations.model.chunks import Key
from migrations.model.errors import (
    BotNotFound,
    MigrationNotFound,
    StateStoreUnavailable,
    TransitionRefused,
)
from migrations.model.golden import GoldenQuery
from migrations.model.left_behind import Conflict, KeptCollection
from migrations.model.runs import (
    Due,
    Event,
    FailedChunk,
    Handover,
    Migration,
    NewMigration,
    OutboxMessage,
    Round,
)
from migrations.model.snapshot import SnapshotPart, WrittenRow
from migrations.model.states import DRIVEN, LIVE, Phase, Status
from migrations.model.workers import WorkerNote
from migrations.ports.clock import Clock
from tests.fakes.clock import FakeClock

MIGRATION_FIELDS = frozenset(field.name for field in fields(Migration))


@dataclass(frozen=True)
class Row:
    """A migration and the columns that its entity does not show."""

    migration: Migration
    undone_phases: tuple[Phase, ...] = ()
    idempotency_key: str | None = None
    request_digest: str | None = None
    runner: str | None = None
    runner_until: datetime | None = None
    sweeper: str | None = None
    sweeper_until: datetime | None = None


@dataclass(frozen=True)
class Posted:
    """A row of the outbox."""

    message: OutboxMessage
    migration_id: UUID
    epoch: int
    created_at: datetime
    sent: bool = False


@dataclass(frozen=True)
class DueRow:
    at: datetime
    times: int = 0


@dataclass(frozen=True)
class TokenRow:
    """Without its number and digest, which it is found by."""

    name: str
    caller: Caller
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class WorkerRow:
    note: WorkerNote
    started_at: datetime
    heartbeat_at: datetime


class StateRows:
    """Dicts under one lock; ``reachable = False`` makes every call fail."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.reachable = True
        self._clock: Clock = clock or FakeClock()
        self._lock = RLock()
        #: When each round may begin again, and the bot that the last slice has ended with.
        self._rounds: dict[Round, datetime] = {}
        self._after: str | None = None
        self._collections: defaultdict[str, RLock] = defaultdict(RLock)
        self._bots: dict[str, Bot] = {}
        self._rows: dict[UUID, Row] = {}
        self._events: defaultdict[UUID, list[Event]] = defaultdict(list)
        #: By their numbers: events of which it was not decided yet who is told.
        self._untold: dict[int, tuple[UUID, Event]] = {}
        self._event_number = 0
        self._deliveries: dict[tuple[str, str], Any] = {}
        self._outbox: dict[int, Posted] = {}
        self._posted = 0
        self._told = 0
        self._failed: defaultdict[UUID, dict[str, FailedChunk]] = defaultdict(dict)
        #: Tokens and answers by run, provider, model and purpose.
        self._paid: Counter[tuple[UUID, str, str, str]] = Counter()
        self._answers: Counter[tuple[UUID, str, str, str]] = Counter()
        #: The same by owner, bot, provider, model and purpose.
        self._errands: Counter[tuple[str, str, str, str, str]] = Counter()
        self._errand_answers: Counter[tuple[str, str, str, str, str]] = Counter()
        self._golden: dict[str, list[GoldenQuery]] = {}
        self._tokens: dict[str, TokenRow] = {}
        self._trail: list[TrailEntry] = []
        self._grants: dict[int, Grant] = {}
        self._numbered = 0
        self._frozen: defaultdict[UUID, dict[int, SnapshotPart]] = defaultdict(dict)
        self._written: defaultdict[UUID, dict[Key, tuple[WrittenRow, datetime]]] = defaultdict(dict)
        self._conflicts: defaultdict[UUID, dict[str, Conflict]] = defaultdict(dict)
        self._conflicted_at: dict[tuple[UUID, str], datetime] = {}
        self._held_ones: dict[str, KeptCollection] = {}
        self._journals: dict[str, Any] = {}
        self._workers: dict[str, WorkerRow] = {}
        self._due: defaultdict[Due, dict[tuple[UUID, str], DueRow]] = defaultdict(dict)

    @contextmanager
    def _transaction(self) -> Iterator[datetime]:
        """The clock's time. Nothing is written before everything that may be refused."""
        if not self.reachable:
            raise StateStoreUnavailable
        with self._lock:
            yield self._clock.now()

    def _bot(self, bot_id: str) -> Bot:
        if bot_id not in self._bots:
            raise BotNotFound
        return self._bots[bot_id]

    def _row(self, migration_id: UUID) -> Row:
        if migration_id not in self._rows:
            raise MigrationNotFound
        return self._rows[migration_id]

    def _forget_snapshots_of(self, bot_id: str, but: UUID | None = None) -> None:
        for migration in self._all():
            if migration.bot_id == bot_id and migration.id != but:
                self._frozen.pop(migration.id, None)
                self._written.pop(migration.id, None)

    def _all(self) -> list[Migration]:
        """Oldest first."""
        return [row.migration for row in self._rows.values()]

    def _live(self, bot_id: str) -> Migration | None:
        return newest(m for m in self._all() if m.bot_id == bot_id and m.status in LIVE)

    def _user_of(self, collection: str) -> str | None:
        users = (b.bot_id for b in self._bots.values() if collection in collections_of(b))
        return next(users, None)

    def _driven(self) -> list[Migration]:
        driven = (m for m in self._all() if m.status in DRIVEN)
        return sorted(driven, key=lambda m: m.heartbeat_at)

    def _unsent(self) -> list[Posted]:
        unsent = [posted for posted in self._outbox.values() if not posted.sent]
        return [p for p in unsent if p.epoch == self._rows[p.migration_id].migration.epoch]

    def _at_work(self, migration_id: UUID, epoch: int) -> Row | None:
        row = self._rows.get(migration_id)
        if row is None or row.migration.epoch != epoch or row.migration.status not in DRIVEN:
            return None
        return row

    @contextmanager
    def _held(self, migration_id: UUID) -> Iterator[LockedRun]:
        with self._transaction() as now:
            row = self._row(migration_id)
            yield LockedRun(row.migration, row.undone_phases, now)

    def _apply(self, held: LockedRun, change: Change | None) -> Migration:
        if change is None:
            return held.migration
        before, row = held.migration, self._rows[held.migration.id]
        after = change.values.get("status", before.status)
        if not is_transition(before.status, after):
            raise TransitionRefused
        shown = {n: v for n, v in change.values.items() if n in MIGRATION_FIELDS}
        hidden = {n: v for n, v in change.values.items() if n not in MIGRATION_FIELDS}
        moved = replace(before, **shown, updated_at=held.now)
        self._rows[before.id] = replace(row, migration=moved, **hidden)
        if change.supersedes:
            self._forget_unsent(before.id)
        if change.event is not None:
            self._tell(moved, change.event, change.detail, held.now, change.phase)
        if change.message is not None:
            self._post(before.id, change.message, held.now)
        return moved

    def _tell(
        self,
        migration: Migration,
        name: str,
        detail: dict[str, Any],
        now: datetime,
        phase: Phase | None = None,
    ) -> None:
        self._told += 1
        event = Event(self._told, now, name, phase or migration.phase, migration.epoch, detail)
        self._events[migration.id].append(event)
        self._event_number += 1
        self._untold[self._event_number] = migration.id, event

    def _post(self, migration_id: UUID, message: Mapping[str, Any], now: datetime) -> None:
        self._posted += 1
        body = json.loads(json.dumps(message))
        posted = OutboxMessage(self._posted, body)
        self._outbox[posted.id] = Posted(posted, migration_id, message["epoch"], now)

    def _forget_unsent(self, migration_id: UUID) -> None:
        kept = (p for p in self._outbox.values() if p.sent or p.migration_id != migration_id)
        self._outbox = {posted.message.id: posted for posted in kept}


def collections_of(bot: Bot) -> set[str]:
    return {bot.live.collection} | ({bot.previous.collection} if bot.previous else set())


def newest(migrations: Iterable[Migration]) -> Migration | None:
    """The last of them; they come in the order of their making."""
    return next(reversed(list(migrations)), None)


def started_migration(new: NewMigration, bot: Bot, now: datetime) -> Migration:
    return Migration(
        id=new.id,
        bot_id=new.bot_id,
        owner=bot.owner,
        requested_by=new.requested_by,
        kind=new.kind,
        reverses=new.reverses,
        config=new.config,
        status=Status.PENDING,
        phase=first_phase(new.config),
        step=None,
        epoch=1,
        source_collection=new.source_collection,
        target_collection=new.target_collection,
        source_generation=new.source_generation,
        new_generation=None,
        target_is_kept=new.target_is_kept,
        target_adopted=new.target_adopted,
        completed_phases=(),
        phase_times={},
        rollback_info=None,
        validation=None,
        verification=None,
        error=None,
        warnings=(),
        waiting_for=None,
        totals={},
        handover=Handover(),
        undo_errors={},
        decision={},
        created_at=now,
        started_at=None,
        switched_at=None,
        finished_at=None,
        deadline_at=now + timedelta(seconds=new.config.timeout_seconds),
        heartbeat_at=now,
        updated_at=now,
        proof=bot.proof,
        trace=new.trace,
    )
