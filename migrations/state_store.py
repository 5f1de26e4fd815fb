"""The authority as the domain sees it: PostgreSQL behind one Protocol.

Every change of a migration is a guarded update: it names the states and the
epoch it starts from, and when no row matches it raises Superseded (work of an
older epoch) or a TransitionRefused that says what stands in the way. The event
row and, where a worker must be woken, the outbox row are written in the same
transaction. All methods raise StateStoreUnavailable when PostgreSQL does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from migrations.model.bots import Bot, Caller, Role
from migrations.model.errors import ReembedError
from migrations.model.left_behind import Conflict, HeldCollection
from migrations.model.runs import (
    Event,
    FailedChunk,
    Migration,
    NewMigration,
    OutboxMessage,
    Step,
    Watched,
)
from migrations.model.snapshot import FrozenPart, WrittenRow
from migrations.model.states import Phase, Status


class BotStore(Protocol):
    def add_bot(self, bot: Bot) -> Bot:
        """Raises BotExists."""
        ...

    def bot(self, bot_id: str) -> Bot:
        """Raises BotNotFound."""
        ...

    def bots(self, owner: str | None = None) -> list[Bot]: ...

    def hold_for_drop(self, collection: str) -> AbstractContextManager[bool]:
        """Lock the rows that could make ``collection`` live; True when it is nobody's."""
        ...


class RunStore(Protocol):
    def create(self, new: NewMigration, limit: int) -> tuple[Migration, bool]:
        """Record a migration and enqueue it; False when the idempotency key named one already.

        A forward run with ``target_adopted`` takes its target out of the held ones.

        Raises:
            MigrationInProgress, TooManyMigrations, SourceChanged, IdempotencyConflict,
            NoLongerHeld.
        """
        ...

    def by_idempotency_key(self, bot_id: str, key: str) -> tuple[Migration, str | None] | None:
        """The migration an earlier request of this key made, and that request's digest."""
        ...

    def migration(self, migration_id: UUID) -> Migration:
        """Raises MigrationNotFound."""
        ...

    def latest(self, bot_id: str) -> Migration | None: ...

    def live(self, bot_id: str) -> Migration | None: ...

    def active(self) -> list[Migration]: ...

    def undone_lately(self, seconds: float) -> list[Migration]:
        """Runs that have ended rolled back within so many seconds."""
        ...

    def reverse_of(self, migration_id: UUID) -> Migration | None:
        """The newest reverse run of this migration."""
        ...

    def events(self, migration_id: UUID) -> list[Event]: ...

    def begin_phase(self, migration_id: UUID, epoch: int, phase: Phase) -> Migration:
        """Enter a phase (or enter it again). Raises Superseded."""
        ...

    def complete_phase(
        self,
        migration_id: UUID,
        epoch: int,
        phase: Phase,
        *,
        warnings: Sequence[str] = (),
        **values: Any,
    ) -> None:
        """Leave a phase done, with what it found. Raises Superseded.

        ``values`` may hold rollback_info (RollbackInfo), validation, verification
        (dicts), totals (dict of int) and target_adopted (bool).
        """
        ...

    def take_step(
        self, migration_id: UUID, epoch: int, step: Step, message: Mapping[str, Any] | None = None
    ) -> bool:
        """Move within data migration, once; False when somebody did already."""
        ...

    def note(self, migration_id: UUID, epoch: int, **values: Any) -> None:
        """Update ``waiting_for``, ``totals`` or add ``warnings``; nothing when superseded."""
        ...

    def heartbeat(self, migration_id: UUID, epoch: int) -> bool:
        """Say that work goes on; False when this epoch's work must stop."""
        ...

    def take_runner(self, migration_id: UUID, epoch: int, runner: str, seconds: int) -> bool:
        """Become (or stay) the one that runs the current phase, by the database's clock."""
        ...

    def release_runner(self, migration_id: UUID, runner: str) -> None: ...

    def record_failed_chunk(
        self, migration_id: UUID, key: str, code: str, message: str
    ) -> None: ...

    def resolve_failed_chunks(self, migration_id: UUID, keys: Sequence[str]) -> None: ...

    def failed_chunks(self, migration_id: UUID, limit: int = 100) -> list[FailedChunk]: ...

    def count_failed_chunks(self, migration_id: UUID) -> int: ...

    def record_spend(
        self, migration_id: UUID, provider: str, model: str, purpose: str, tokens: int
    ) -> None: ...

    def tokens_used(self, migration_id: UUID) -> int: ...

    def watched(self, migration_id: UUID) -> Watched:
        """All that a watcher asks for, in one statement. Raises MigrationNotFound."""
        ...


class TurnStore(Protocol):
    def begin_switch(self, migration_id: UUID, epoch: int) -> None:
        """Record the intent; from here on cancelling is refused. Raises Superseded."""
        ...

    def switch(self, migration_id: UUID, epoch: int, retention_hours: float) -> Bot:
        """The pivot: one transaction makes the target live. Repeating it changes nothing.

        Raises:
            Superseded; SourceChanged when the bot is not where the run started.
        """
        ...

    def finish(self, migration_id: UUID, epoch: int, **values: Any) -> None:
        """Switched becomes completed; a reverse run marks what it took back."""
        ...

    def request_cancel(self, migration_id: UUID, by: str) -> Migration:
        """Turn round, or say why not; cancelling twice is answered like once.

        Raises:
            SwitchInProgress, AlreadySwitched, NoActiveMigration.
        """
        ...

    def turn_round(self, migration_id: UUID, epoch: int, error: ReembedError) -> bool:
        """Before the switch: epoch + 1, rolling back (or failed), compensation enqueued.

        False when the migration is no longer at this epoch before the switch.
        """
        ...

    def record_undo(self, migration_id: UUID, epoch: int, phase: Phase, error: str | None) -> None:
        """One undo ended, well or not. Raises Superseded."""
        ...

    def finish_rollback(self, migration_id: UUID, epoch: int) -> Status:
        """Rolled back, or needs_operator when an undo failed. Raises Superseded."""
        ...

    def repair(self, migration_id: UUID) -> Migration:
        """Needs_operator or failed becomes rolling back again. Raises TransitionRefused."""
        ...

    def redrive(self, migration_id: UUID, epoch: int) -> bool:
        """Epoch + 1 and the message that goes on from here; False when it moved meanwhile."""
        ...


class WatchStore(Protocol):
    def watch(self) -> AbstractContextManager[bool]:
        """True for the one watchdog that acts now, in all processes."""
        ...

    def stalled(self, after_seconds: float, *, line_is_empty: bool = False) -> list[Migration]:
        """Driven migrations whose heartbeat is older, by the database's clock.

        While another's batches keep the workers busy a migration is given more time,
        unless ``line_is_empty``: then none of its batches can be waiting for its turn.
        """
        ...

    def overdue(self) -> list[Migration]:
        """Migrations before the switch whose deadline has passed."""
        ...

    def unsent(self, older_than_seconds: float, limit: int = 100) -> list[OutboxMessage]: ...

    def unsent_of(self, migration_id: UUID) -> list[OutboxMessage]: ...

    def mark_sent(self, message_ids: Sequence[int]) -> None: ...

    def now(self) -> datetime:
        """The database's clock."""
        ...


class TokenStore(Protocol):
    def add_token(
        self, name: str, owner: str, role: Role, digest: str, expires_at: datetime | None
    ) -> None: ...

    def caller_of(self, digest: str) -> Caller | None:
        """Whose token hashes to ``digest``; None when unknown, expired or revoked."""
        ...

    def ping(self) -> None: ...


class StragglerStore(Protocol):
    def freeze(self, migration_id: UUID, epoch: int, part: FrozenPart) -> None:
        """Keep one part of the source as it was last caught up. Raises Superseded."""
        ...

    def end_freezing(self, migration_id: UUID, epoch: int, parts: int) -> None:
        """Forget parts of an earlier attempt, from number ``parts`` on. Raises Superseded."""
        ...

    def frozen_part(self, migration_id: UUID, number: int) -> FrozenPart | None: ...

    def refreeze(self, migration_id: UUID, sweeper: str, part: FrozenPart) -> None:
        """Replace a part. Raises Superseded unless ``sweeper`` holds the migration's lease."""
        ...

    def forget_frozen(self, migration_id: UUID) -> None: ...

    def forget_earlier_frozen(self, migration_id: UUID) -> None:
        """Once this migration has switched: what was frozen for the bot's others is over."""
        ...

    def note_written(self, migration_id: UUID, rows: Sequence[WrittenRow]) -> None:
        """Keep what is about to be written: a key's earlier contents add up, the last one counts.

        Before the write, so that a death in between leaves a note too many and none too few.
        """
        ...

    def written_rows(self, migration_id: UUID, limit: int) -> list[WrittenRow]:
        """The latest of them first."""
        ...

    def forget_written(self, migration_id: UUID, older_than_seconds: float = 0) -> None: ...

    def may_be_swept(self, migration_id: UUID, by: UUID | None = None) -> bool:
        """Whether its old collection still is the bot's previous one, and nobody rolls back.

        ``by``: only that reverse run does, and it is running.
        """
        ...

    def take_sweeper(
        self, migration_id: UUID, sweeper: str, seconds: int, by: UUID | None = None
    ) -> bool:
        """Become (or stay) the one that sweeps, by the database's clock, if it may be swept."""
        ...

    def release_sweeper(self, migration_id: UUID, sweeper: str) -> None: ...

    def record_conflicts(self, migration_id: UUID, conflicts: Sequence[Conflict]) -> None:
        """Keep what was not forwarded, the newest per key, and warn of it on the migration."""
        ...

    def conflicts(self, migration_id: UUID, limit: int = 100) -> list[Conflict]: ...

    def count_conflicts(self, bot_id: str) -> int:
        """Over all migrations of the bot."""
        ...

    def claim_sweeps(
        self, first_seconds: float, second_seconds: float, every_seconds: float
    ) -> list[UUID]:
        """Enqueue every sweep that is due, once, and set when the next one is."""
        ...

    def sweep_again(self, migration_id: UUID, after_seconds: float) -> None:
        """The next sweep is due so soon: the last one did not get through."""
        ...


class HeldStore(Protocol):
    def switched_by(self, bot_id: str, generation: int) -> Migration | None:
        """The migration that brought the bot to this generation."""
        ...

    def hold_target(self, migration_id: UUID, chunks: int, hold_hours: float) -> bool:
        """Hold the target of a run that is undone; False when somebody needs it."""
        ...

    def held(self, collection: str) -> HeldCollection | None: ...

    def held_of(self, bot_id: str) -> list[HeldCollection]: ...

    def retire(
        self, migration_id: UUID, chunks: int | None, digest: str | None, hold_hours: float
    ) -> bool:
        """End the way back and hold the previous collection instead.

        False, and nothing changed, unless its window has closed, this migration left it
        behind and the bot has no live migration.
        """
        ...

    def measure_held(self, collection: str, chunks: int, digest: str, hold_hours: float) -> None:
        """What it holds is known from now on; it is held for as long again."""
        ...

    def extend_hold(self, collection: str, hold_hours: float, warning: str) -> None:
        """Hold it for longer and warn of it on the migration that left it behind."""
        ...

    def claim_retirements(self, again_seconds: float) -> list[UUID]:
        """Enqueue retiring for every window that has closed, once in ``again_seconds``."""
        ...

    def claim_drops(self, again_seconds: float) -> list[UUID]:
        """Enqueue the drop of every collection held long enough, once in ``again_seconds``."""
        ...

    def drop_of_held(self, collection: str) -> AbstractContextManager[bool]:
        """Lock the rows that could make it live; True when it was held long enough and is nobody's.

        The held row goes when the block ends without an error.
        """
        ...


class MigrationStore(
    BotStore,
    RunStore,
    TurnStore,
    WatchStore,
    TokenStore,
    StragglerStore,
    HeldStore,
    Protocol,
):
    """All of it."""
