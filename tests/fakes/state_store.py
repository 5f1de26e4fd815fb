"""The state store in memory: the same decisions as PostgreSQL's, on dicts under one lock."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from migrations.lifecycle import backward, decision, forward, pausing, terms
from migrations.lifecycle.change import storable
from migrations.lifecycle.room import no_room
from migrations.model import messages
from migrations.model.answers import RemovedBot
from migrations.model.bots import AliasBehind, Bot
from migrations.model.config import RollbackMode
from migrations.model.errors import (
    BotExists,
    BotNotFound,
    IdempotencyConflict,
    MigrationInProgress,
    ReembedError,
    SourceChanged,
    StateStoreUnavailable,
)
from migrations.model.golden import GoldenQuery
from migrations.model.outcomes import Outcome
from migrations.model.pace import PACE, Pace
from migrations.model.requests import READ_BY_RUNS, BotChange
from migrations.model.runs import (
    FailedChunk,
    Migration,
    NewMigration,
    OutboxMessage,
    Round,
    Step,
    Watched,
)
from migrations.model.states import BEFORE_SWITCH, LIVE, Phase, Status
from migrations.ports.watch_store import SchemaRevision
from migrations.store.bots import belongs_already
from migrations.store.removal import staying
from migrations.store.starts import require_startable
from migrations.store.watch import PATIENCE_IN_LINE
from tests.fakes.state_access import FakeAccess
from tests.fakes.state_due import FakeDue
from tests.fakes.state_figures import FakeFigures
from tests.fakes.state_history import FakeHistory
from tests.fakes.state_kept import FakeKept
from tests.fakes.state_keys import FakeKeys
from tests.fakes.state_late_writes import FakeLateWrites
from tests.fakes.state_ledger import FakeLedger
from tests.fakes.state_notifications import FakeNotifications
from tests.fakes.state_rows import Row, newest, started_migration
from tests.fakes.state_texts import FakeTexts
from tests.fakes.state_workers import FakeWorkers


class FakeMigrationStore(
    FakeKeys,
    FakeTexts,
    FakeLateWrites,
    FakeKept,
    FakeDue,
    FakeAccess,
    FakeWorkers,
    FakeHistory,
    FakeFigures,
    FakeLedger,
    FakeNotifications,
):
    """``reachable = False`` makes every call fail. Time is the given clock's alone."""

    revision = SchemaRevision("0001", "0001", is_known=True)

    # --- bots ----------------------------------------------------------------

    def add_bot(self, bot: Bot) -> Bot:
        with self._collections[bot.live.collection], self._transaction() as now:
            if bot.bot_id in self._bots:
                raise BotExists
            if any(bot.alias == other.alias for other in self._bots.values()):
                raise belongs_already("alias", bot.alias)
            self._require_free(bot.live.collection)
            self._held_ones.pop(bot.live.collection, None)
            self._bots[bot.bot_id] = replace(bot, created_at=now, updated_at=now)
            return self._bots[bot.bot_id]

    def require_free(self, collection: str) -> None:
        with self._transaction():
            self._require_free(collection)

    def bot(self, bot_id: str) -> Bot:
        with self._transaction():
            return self._bot(bot_id)

    def bot_by_alias(self, alias: str) -> Bot:
        with self._transaction():
            for bot in self._bots.values():
                if bot.alias == alias:
                    return bot
            raise BotNotFound

    def alias_moves(self, bot_id: str, live: str, at: str) -> bool:
        with self._transaction() as now:
            bot = self._bots.get(bot_id)
            if bot is None or bot.live.collection != live:
                return False
            since = bot.alias_behind and bot.alias_behind.moving_since
            self._bots[bot_id] = replace(bot, alias_behind=AliasBehind(at, since or now))
            return True

    def alias_followed(self, bot_id: str, live: str) -> None:
        with self._transaction():
            bot = self._bots.get(bot_id)
            if bot is not None and bot.live.collection == live:
                self._bots[bot_id] = replace(bot, alias_behind=None)

    def bots(
        self, owner: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[Bot]:
        with self._transaction():
            mine = [bot for bot in self._bots.values() if owner in {None, bot.owner}]
            following = [bot for bot in mine if after is None or bot.bot_id > after]
            return sorted(following, key=lambda bot: bot.bot_id)[:limit]

    def bots_of(self, bot_ids: Collection[str]) -> dict[str, Bot]:
        with self._transaction():
            return {bot_id: self._bots[bot_id] for bot_id in bot_ids if bot_id in self._bots}

    def change_bot(self, bot_id: str, change: BotChange) -> Bot:
        with self._transaction() as now:
            bot = self._bot(bot_id)
            values = change.values(bot)
            if not values:
                return bot
            live = self._live(bot_id)
            if live is not None and values.keys() & READ_BY_RUNS:
                raise MigrationInProgress.of(live.id, live.status)
            if change.of_generation not in {None, bot.live.generation}:
                raise MigrationInProgress
            if values.get("drop_originals"):
                self._reconsider_kept(bot_id, now)
            if "owner" in values:
                self._hand_over_runs(bot_id, values["owner"])
            if "manner" in values:
                embedding = bot.live.embedding.in_manner(values.pop("manner"))
                values["live"] = replace(bot.live, embedding=embedding)
            self._bots[bot_id] = replace(bot, **values, updated_at=now)
            return self._bots[bot_id]

    def remove_bot(self, bot_id: str) -> RemovedBot:
        with self._transaction():
            bot, live = self._bot(bot_id), self._live(bot_id)
            if live is not None:
                raise MigrationInProgress.of(live.id, live.status)
            runs = [m for m in self._all() if m.bot_id == bot_id]
            kept = [one.collection for one in self.kept_of(bot_id)]
            failed = [m.target_collection for m in runs if m.status is Status.FAILED]
            made = {m.target_collection for m in runs if not m.target_is_kept}
            removed = RemovedBot(bot, tuple(staying(bot, kept, failed, made)))
            for run in runs:
                self._forget_runs_spend(run.owner, bot_id, run.id)
                del self._rows[run.id]
            ids = {run.id for run in runs}
            self._outbox = {n: p for n, p in self._outbox.items() if p.migration_id not in ids}
            for name in kept:
                del self._held_ones[name]
            self._golden.pop(bot_id, None)
            self._journals.pop(bot_id, None)
            del self._bots[bot_id]
            return removed

    def golden_queries(self, bot_id: str) -> list[GoldenQuery]:
        with self._transaction():
            return list(self._golden.get(bot_id, []))

    def set_golden_queries(self, bot_id: str, queries: Sequence[GoldenQuery]) -> None:
        with self._transaction():
            self._bot(bot_id)
            self._golden[bot_id] = list(queries)

    def _hand_over_runs(self, bot_id: str, owner: str) -> None:
        for row in list(self._rows.values()):
            if row.migration.bot_id == bot_id:
                moved = replace(row, migration=replace(row.migration, owner=owner))
                self._rows[row.migration.id] = moved

    @contextmanager
    def lock_for_drop(self, collection: str) -> Iterator[bool]:
        with self._collections[collection]:
            with self._transaction():
                is_nobodys = not self._is_wanted(collection)
            yield is_nobodys

    def may_be_dropped(self, bot_id: str, collection: str) -> bool:
        with self._transaction():
            return self._may_be_dropped(bot_id, collection)

    # --- runs ----------------------------------------------------------------

    def create(
        self, new: NewMigration, limit: int, of_one_owner: int | None = None
    ) -> tuple[Migration, bool]:
        with self._collections[new.target_collection], self._transaction() as now:
            bot = self._bot(new.bot_id)
            earlier = self._same_request(new)
            if earlier is not None:
                return earlier, False
            live = self._live(new.bot_id)
            if live is not None and not self._is_left_behind(live, new):
                raise MigrationInProgress.of(live.id, live.status)
            require_startable(bot, new)
            owners = [m.owner for m in self._driven()]
            refusal = no_room(owners, bot.owner, limit, of_one_owner)
            if refusal and new.config.rollback_mode is not RollbackMode.NOW:
                raise refusal
            self._take_over(new)
            if live is not None:
                self._end_carrying_over(live, new)
            migration = started_migration(new, bot, now)
            self._rows[new.id] = Row(migration, (), new.idempotency_key, new.request_digest)
            self._tell(migration, "started", {"by": new.requested_by}, now)
            self._post(new.id, messages.run(new.id, 1, migration.phase), now)
            return migration, True

    def _is_left_behind(self, live: Migration, new: NewMigration) -> bool:
        wants = new.config.rollback_mode is RollbackMode.NOW and new.reverses == live.id
        return wants and forward.is_carrying_over(live)

    def _end_carrying_over(self, live: Migration, new: NewMigration) -> None:
        with self._held(live.id) as held:
            self._apply(held, forward.end_carrying_over(held, new.id))
        if live.reverses is not None:
            with self._held(live.reverses) as reversed_one:
                self._apply(reversed_one, forward.taken_back(reversed_one, live.id))

    def by_idempotency_key(self, bot_id: str, key: str) -> tuple[Migration, str | None] | None:
        with self._transaction():
            for row in self._rows.values():
                if (row.migration.bot_id, row.idempotency_key) == (bot_id, key):
                    return row.migration, row.request_digest
            return None

    def _same_request(self, new: NewMigration) -> Migration | None:
        key = new.idempotency_key
        found = None if key is None else self.by_idempotency_key(new.bot_id, key)
        if found is None:
            return None
        migration, digest = found
        if digest != new.request_digest:
            raise IdempotencyConflict(migration_id=str(migration.id))
        return migration

    def migration(self, migration_id: UUID) -> Migration:
        with self._transaction():
            return self._row(migration_id).migration

    def latest(self, bot_id: str) -> Migration | None:
        with self._transaction():
            return newest(m for m in self._all() if m.bot_id == bot_id)

    def latest_of(self, bot_ids: Collection[str]) -> dict[str, Migration]:
        found = ((bot_id, self.latest(bot_id)) for bot_id in bot_ids)
        return {bot_id: migration for bot_id, migration in found if migration is not None}

    def live(self, bot_id: str) -> Migration | None:
        with self._transaction():
            return self._live(bot_id)

    def active(self, *, after: UUID | None = None, limit: int | None = None) -> list[Migration]:
        with self._transaction():
            found = sorted(self._all(), key=lambda m: m.created_at)
            begin = 0 if after is None else found.index(self._row(after).migration) + 1
            return [m for m in found[begin:] if m.status in LIVE][:limit]

    def undone_lately(self, seconds: float) -> list[Migration]:
        with self._transaction() as now:
            since = now - timedelta(seconds=seconds)
            undone = (m for m in self._all() if m.status is Status.ROLLED_BACK)
            return [m for m in undone if m.finished_at is not None and m.finished_at > since]

    def reverse_of(self, migration_id: UUID) -> Migration | None:
        with self._transaction():
            return newest(m for m in self._all() if m.reverses == migration_id)

    def begin_phase(self, migration_id: UUID, epoch: int, phase: Phase) -> Migration:
        with self._held(migration_id) as held:
            return self._apply(held, forward.begin_phase(held, epoch, phase))

    def complete_phase(
        self,
        migration_id: UUID,
        epoch: int,
        phase: Phase,
        outcome: Outcome | None = None,
    ) -> None:
        with self._held(migration_id) as held:
            self._apply(held, forward.complete_phase(held, epoch, phase, outcome or Outcome()))

    def take_step(
        self, migration_id: UUID, epoch: int, step: Step, message: Mapping[str, Any] | None = None
    ) -> bool:
        with self._held(migration_id) as held:
            change = forward.take_step(held, epoch, step, message)
            self._apply(held, change)
            return change is not None

    def note(
        self,
        migration_id: UUID,
        epoch: int,
        *,
        totals: Mapping[str, int] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        with self._held(migration_id) as held:
            self._apply(held, forward.note(held, epoch, totals or {}, warnings))

    def learn_longest_input(self, migration_id: UUID, epoch: int, tokens: int) -> None:
        with self._held(migration_id) as held:
            self._apply(held, forward.learn_longest_input(held, epoch, tokens))

    def wait_for(self, migration_id: UUID, epoch: int, what: str | None) -> None:
        with self._held(migration_id) as held:
            self._apply(held, forward.wait_for(held, epoch, what))

    def record_failed_chunk(self, migration_id: UUID, key: str, code: str, message: str) -> None:
        with self._transaction():
            earlier = self._failed[migration_id].get(key)
            attempts = earlier.attempts + 1 if earlier else 1
            chunk = FailedChunk(storable(key), code, storable(message), attempts)
            self._failed[migration_id][key] = chunk

    def resolve_failed_chunks(self, migration_id: UUID, keys: Sequence[str]) -> None:
        with self._transaction():
            for key in keys:
                self._failed[migration_id].pop(key, None)

    def failed_chunks(self, migration_id: UUID, limit: int = 100) -> list[FailedChunk]:
        with self._transaction():
            failed = self._failed[migration_id].values()
            return sorted(failed, key=lambda chunk: chunk.key)[:limit]

    def count_failed_chunks(self, migration_id: UUID) -> int:
        with self._transaction():
            return len(self._failed[migration_id])

    def watched(self, migration_id: UUID) -> Watched:
        migration = self.migration(migration_id)
        with self._transaction():
            failed = len(self._failed[migration_id])
            return Watched(migration, failed, self._tokens_used(migration_id))

    # --- turns ---------------------------------------------------------------

    def begin_switch(self, migration_id: UUID, epoch: int) -> None:
        with self._held(migration_id) as held:
            self._apply(held, forward.begin_switch(held, epoch))

    def switch(self, migration_id: UUID, epoch: int, retention_hours: float) -> Bot:
        target = self.migration(migration_id).target_collection
        with self._collections[target], self._held(migration_id) as held:
            bot = self._bot(held.migration.bot_id)
            change = forward.switch(held, epoch, bot)
            if any(b is not bot and b.live.collection == target for b in self._bots.values()):
                raise SourceChanged(f"The collection {target!r} is another bot's live collection.")
            if change is not None:
                self._hand_over_snapshot(held.migration)
                bot = forward.switched_bot(bot, held.migration, held.now, retention_hours)
                self._apply(held, change)
                self._leave_behind(self._bots[bot.bot_id], held.migration, held.now)
                self._bots[bot.bot_id] = bot
            return bot

    def finish(self, migration_id: UUID, epoch: int) -> None:
        with self._held(migration_id) as held:
            change = forward.finish(held, epoch)
            self._apply(held, change)
            if change is not None and held.migration.reverses is not None:
                with self._held(held.migration.reverses) as reversed_one:
                    self._apply(reversed_one, forward.taken_back(reversed_one, migration_id))

    def request_cancel(self, migration_id: UUID, by: str) -> Migration:
        with self._held(migration_id) as held:
            return self._apply(held, backward.request_cancel(held, by))

    def roll_back(self, migration_id: UUID, epoch: int, error: ReembedError) -> bool:
        with self._held(migration_id) as held:
            change = backward.roll_back(held, epoch, error)
            self._apply(held, change)
            return change is not None

    def record_undo(self, migration_id: UUID, epoch: int, phase: Phase, error: str | None) -> None:
        with self._held(migration_id) as held:
            self._apply(held, backward.record_undo(held, epoch, phase, error))

    def finish_rollback(self, migration_id: UUID, epoch: int) -> Status:
        with self._held(migration_id) as held:
            return self._apply(held, backward.finish_rollback(held, epoch)).status

    def repair(self, migration_id: UUID) -> Migration:
        with self._held(migration_id) as held:
            change = backward.repair(held)
            live = self._live(held.migration.bot_id)
            if live is not None and live.id != migration_id:
                raise MigrationInProgress
            return self._apply(held, change)

    def redrive(self, migration_id: UUID, epoch: int) -> bool:
        with self._held(migration_id) as held:
            change = backward.redrive(held, epoch)
            self._apply(held, change)
            return change is not None

    # --- watching ------------------------------------------------------------

    def claim_round(self, what: Round, pause_seconds: float) -> bool:
        with self._transaction() as now:
            if what in self._rounds and self._rounds[what] > now:
                return False
            self._rounds[what] = now + timedelta(seconds=pause_seconds)
            return True

    def claim_bots(self, limit: int, pause_seconds: float) -> list[Bot]:
        if not self.claim_round(Round.ALIASES, pause_seconds):
            return []
        ahead = [bot for bot in self.bots() if self._after is None or bot.bot_id > self._after]
        claimed = ahead[:limit]
        self._after = claimed[-1].bot_id if len(claimed) == limit else None
        return claimed

    def stalled(self, after_seconds: float, *, line_is_empty: bool = False) -> list[Migration]:
        with self._transaction() as now:
            after = timedelta(seconds=after_seconds)
            patience = (lambda _: after) if line_is_empty else partial(self._patience, after, now)
            return [m for m in self._driven() if m.heartbeat_at < now - patience(m)]

    def _patience(self, after: timedelta, now: datetime, migration: Migration) -> timedelta:
        waits_in_line = migration.phase is Phase.DATA_MIGRATION and any(
            m.phase is Phase.DATA_MIGRATION and m.heartbeat_at >= now - after
            for m in self._driven()
        )
        return after * PATIENCE_IN_LINE if waits_in_line else after

    def overdue(self) -> list[Migration]:
        with self._transaction() as now:
            before = [m for m in self._driven() if m.status in BEFORE_SWITCH]
            return [m for m in before if m.deadline_at < now]

    def accept(self, migration_id: UUID, by: str, reason: str | None) -> Migration:
        with self._held(migration_id) as held:
            return self._apply(held, decision.accept(held, by, reason))

    def waiting(self, since_seconds: float) -> list[Migration]:
        with self._transaction() as now:
            since = now - timedelta(seconds=since_seconds)
            waiting = [m for m in self._all() if m.status is Status.WAITING]
            return [m for m in waiting if m.heartbeat_at < since and m.is_to_be_kept_up]

    def keep_up(self, migration_id: UUID, epoch: int) -> bool:
        with self._held(migration_id) as held:
            change = decision.keep_up(held, epoch)
            self._apply(held, change)
            return change is not None

    def pause(self, migration_id: UUID, by: str, reason: str | None) -> Migration:
        with self._held(migration_id) as held:
            return self._apply(held, pausing.pause(held, by, reason))

    def resume(self, migration_id: UUID, by: str) -> Migration:
        with self._held(migration_id) as held:
            return self._apply(held, pausing.resume(held, by))

    def extend(self, migration_id: UUID, timeout_seconds: int, by: str) -> Migration:
        with self._held(migration_id) as held:
            return self._apply(held, terms.extend(held, timeout_seconds, by))

    def throttle(self, migration_id: UUID, pace: Pace | None, by: str) -> Migration:
        with self._held(migration_id) as held:
            return self._apply(held, terms.throttle(held, pace, by))

    def throttled(self) -> list[Migration]:
        with self._transaction():
            return [m for m in self._all() if m.status in LIVE and PACE in m.controls]

    def unsent(self, older_than_seconds: float, limit: int = 100) -> list[OutboxMessage]:
        with self._transaction() as now:
            since = now - timedelta(seconds=older_than_seconds)
            return [p.message for p in self._unsent() if p.created_at <= since][:limit]

    def unsent_of(self, migration_id: UUID) -> list[OutboxMessage]:
        with self._transaction():
            return [p.message for p in self._unsent() if p.migration_id == migration_id]

    def mark_sent(self, message_ids: Sequence[int]) -> None:
        with self._transaction():
            for number in self._outbox.keys() & set(message_ids):
                self._outbox[number] = replace(self._outbox[number], sent=True)

    def now(self) -> datetime:
        with self._transaction() as now:
            return now

    def schema(self) -> SchemaRevision:
        with self._transaction():
            return self.revision

    def ping(self) -> None:
        with self._transaction():
            pass


class AwayAtTheBeginning(FakeMigrationStore):
    """No phase can begin until it has been refused so often."""

    refused_beginnings: float = 0

    def begin_phase(self, migration_id: UUID, epoch: int, phase: Phase) -> None:
        if self.refused_beginnings:
            self.refused_beginnings -= 1
            raise StateStoreUnavailable
        super().begin_phase(migration_id, epoch, phase)
