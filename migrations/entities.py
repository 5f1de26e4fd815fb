"""Bots and migrations as the state store holds them: frozen snapshots of a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from migrations.config import EmbeddingRef, MigrationConfig
from migrations.results import RollbackInfo
from migrations.states import Kind, Phase, Status


class Role(StrEnum):
    #: May see and migrate their own bots.
    USER = "user"
    #: May see and migrate every bot.
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Who asks: the owner and role of a token, never the token itself."""

    owner: str
    role: Role = Role.USER

    def may_touch(self, owner: str) -> bool:
        return self.role is Role.ADMIN or self.owner == owner


@dataclass(frozen=True)
class LivePair:
    """What a reader needs as one fact: where to search and which model embeds the query."""

    collection: str
    embedding: EmbeddingRef
    generation: int


@dataclass(frozen=True)
class PreviousPair:
    """Where the bot was before the last switch, and until when one can go back."""

    collection: str
    embedding: EmbeddingRef
    expires_at: datetime


@dataclass(frozen=True)
class Bot:
    """A registered RAG bot. ``alias`` is what foreign readers use; it follows ``live``."""

    bot_id: str
    owner: str
    alias: str
    live: LivePair
    key_field: str
    text_field: str
    vector_field: str
    previous: PreviousPair | None
    created_at: datetime
    updated_at: datetime


class Step(StrEnum):
    """Where a run stands within data migration."""

    #: Key ranges are being cut.
    PLANNING = "planning"
    #: Waves of batches are being embedded.
    BACKFILLING = "backfilling"
    #: Writes made meanwhile are being applied.
    CATCHING_UP = "catching_up"


@dataclass(frozen=True)
class Migration:
    """One run. Times are UTC; ``epoch`` is the fencing number of the work now allowed."""

    id: UUID
    bot_id: str
    owner: str
    requested_by: str
    kind: Kind
    #: The migration a reverse run takes back.
    reverses: UUID | None
    config: MigrationConfig
    status: Status
    phase: Phase
    step: Step | None
    epoch: int
    source_collection: str
    target_collection: str
    #: The bot's generation this run started from; the switch insists on it.
    source_generation: int
    new_generation: int | None
    #: True when the target existed before this run and must survive its undo.
    target_is_kept: bool
    #: True when the target held chunks before this run began.
    target_adopted: bool
    completed_phases: tuple[Phase, ...]
    #: {phase: {"started_at": iso, "finished_at": iso}}
    phase_times: dict[str, dict[str, str]]
    rollback_info: RollbackInfo | None
    validation: dict[str, Any] | None
    verification: dict[str, Any] | None
    error: dict[str, Any] | None
    warnings: tuple[str, ...]
    waiting_for: str | None
    #: Snapshot of the counters, so that progress survives the loss of Redis.
    totals: dict[str, int]
    undo_errors: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    switched_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime
    heartbeat_at: datetime
    updated_at: datetime

    @property
    def tag(self) -> str:
        """What marks a collection as made for this bot; which run made it says its name.

        Not of the run, because the next run may take over what this one has paid for.
        """
        return f"reembed:{self.bot_id}"


@dataclass(frozen=True)
class NewMigration:
    """What is recorded when a migration is started."""

    id: UUID
    bot_id: str
    requested_by: str
    kind: Kind
    config: MigrationConfig
    source_collection: str
    target_collection: str
    source_generation: int
    reverses: UUID | None = None
    target_is_kept: bool = False
    target_adopted: bool = False
    idempotency_key: str | None = None
    #: Digest of the request body, so that a key re-used for another request is noticed.
    request_digest: str | None = None


@dataclass(frozen=True)
class Event:
    """One line of a migration's history, written with the change it tells of."""

    at: datetime
    name: str
    phase: Phase | None
    epoch: int
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FailedChunk:
    key: str
    code: str
    message: str
    attempts: int


class ConflictReason(StrEnum):
    #: The live collection's chunk has changed since the switch too; it stays as it is.
    LIVE_IS_NEWER = "live_is_newer"
    #: The live model could not embed the text before a rollback overwrote it.
    NOT_EMBEDDED = "not_embedded"
    #: What was deleted or replaced before the switch stands in the live collection again.
    CAME_BACK = "came_back"


@dataclass(frozen=True)
class Conflict:
    """A straggler that was not forwarded, kept so that a person can decide."""

    key: str
    #: What was written to the old collection; None when it was a deletion.
    fields: dict[str, Any] | None
    reason: ConflictReason


class HoldReason(StrEnum):
    #: The target of a run that was undone; the next run to the same model takes it over.
    ROLLED_BACK = "rolled_back"
    #: A bot's previous collection whose retention window has closed.
    RETIRED = "retired"


@dataclass(frozen=True)
class HeldCollection:
    """A collection nobody needs any more, kept for a while before it is dropped.

    ``chunks`` and ``content_digest`` are as when it was held; None when not read yet.
    """

    collection: str
    bot_id: str
    #: The run that left it behind.
    migration_id: UUID
    reason: HoldReason
    embedding: EmbeddingRef
    #: What it was filled from; None for a retired one.
    source_collection: str | None
    chunks: int | None
    content_digest: str | None
    held_at: datetime
    drop_after: datetime

    @property
    def is_compared(self) -> bool:
        """Foreign writers know a retired collection's name; nobody was ever told a target's."""
        return self.reason is HoldReason.RETIRED


@dataclass(frozen=True)
class Watched:
    """A migration as those see it who watch it."""

    migration: Migration
    failed_chunks: int
    tokens_used: int


@dataclass(frozen=True)
class OutboxMessage:
    """A message that must reach the broker at least once."""

    id: int
    body: dict[str, Any]


def target_name(alias: str, generation: int, migration_id: UUID) -> str:
    """``<alias>__g<generation>_<first 8 of the migration id>``, within Milvus' 255 characters."""
    return f"{alias[:200]}__g{generation}_{migration_id.hex[:8]}"
