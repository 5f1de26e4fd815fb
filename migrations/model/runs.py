"""One migration: what was asked, how it stands, and what is needed to put its bot back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from migrations.model.collection_names import shortened
from migrations.model.config import EmbeddingRef, MigrationConfig, RollbackMode
from migrations.model.proofs import Proof
from migrations.model.states import Kind, Phase, Status

#: In the totals: tokens of the longest text that was surely embedded whole, where the model has
#: refused shorter ones than it is known to take.
LONGEST_INPUT = "longest_input_tokens"
#: In the totals of a run that has switched back first: rows of the collection it has left that
#: are still to be carried over; not there before they are counted.
ON_THEIR_WAY = "rows_on_their_way"
#: In the detail of the event that it was driven again: chunks processed by then, as far as known.
PROCESSED_WHEN_REDRIVEN = "processed_chunks"
#: Why a run waits before its switch, when that was asked for.
POSTPONED = "postponed"
#: How the gate of a hook begins that has vetoed the switch; its name follows.
VETO_OF = "veto of "


class RollbackInfo(BaseModel):
    """Everything needed to put the bot back: written before anything is touched."""

    model_config = ConfigDict(frozen=True)

    bot_id: str
    collection: str
    embedding: EmbeddingRef
    generation: int
    alias: str
    #: The adapter's full description of the collection: fields, indexes, properties.
    collection_schema: dict[str, Any]
    chunk_count: int
    #: Order-independent digest (hex) of every chunk's key and content, vectors left out: as
    #: validation read them, or, if their number has changed since, when this was written.
    content_digest: str


class Step(StrEnum):
    """Where a run stands within data migration."""

    #: Key ranges are being cut.
    PLANNING = "planning"
    #: Waves of batches are being embedded.
    BACKFILLING = "backfilling"
    #: Writes made meanwhile are being applied.
    CATCHING_UP = "catching_up"


@dataclass(frozen=True)
class Handover:
    """What one phase tells a later one. What nobody has said is unknown, and looked at."""

    #: Of the source, when catching up had left it; see :class:`Content`.
    source_digest: int | None = None
    #: The target may lack rows that Milvus had acknowledged before a crash.
    may_lack_rows: bool = True
    #: The epoch in which verification has kept the source part by part.
    snapshot_in_epoch: int | None = None


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
    handover: Handover
    undo_errors: dict[str, Any]
    #: What it waits for before the switch, since when, and who has accepted it why;
    #: see :mod:`migrations.lifecycle.decision`.
    decision: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    switched_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime
    heartbeat_at: datetime
    updated_at: datetime
    #: How it is known that the text is what was embedded: the bot's proof as it was when the
    #: run began, then what validation found.
    proof: Proof | None = None
    #: What somebody has set on its way: a pause, see :mod:`migrations.lifecycle.pausing`.
    controls: dict[str, Any] = field(default_factory=dict)
    #: The span within which it was started, as a ``traceparent``; None where there was none.
    trace: str | None = None

    @property
    def is_to_be_kept_up(self) -> bool:
        """Whether its target follows the source while it waits; a failed gate's need not."""
        return bool(self.decision.get("waits_for") == [POSTPONED])

    @property
    def switches_first(self) -> bool:
        """Whether what is written in its source is carried over after its switch, not before."""
        return self.config.rollback_mode is RollbackMode.NOW

    @property
    def tag(self) -> str:
        """What marks a collection as made for this bot; which run made it says its name.

        Not of the run, because the next run may take over what this one has paid for.
        """
        return tag_of(self.bot_id)


def tag_of(bot_id: str) -> str:
    """What marks a collection as made for this bot."""
    return f"reembed:{bot_id}"


@dataclass(frozen=True)
class RunnerLease:
    """To run the current phase, while the migration is driven at this epoch."""

    migration_id: UUID
    epoch: int


@dataclass(frozen=True)
class SweeperLease:
    """To sweep what the migration left behind, while that is the bot's previous collection.

    ``by``: only that reverse run may, while it is running; else nobody while one lives.
    """

    migration_id: UUID
    by: UUID | None = None


@dataclass(frozen=True)
class ApplierLease:
    """To apply a bot's journal, while no run is about to switch."""

    bot_id: str


@dataclass(frozen=True)
class ForwarderLease:
    """To write over what is live in a bot's collection while nobody applies its journal.

    It is the same one as the applier's, and may be taken while a run is about to switch, too.
    """

    bot_id: str


#: Work that one at a time may do, for a migration or a bot.
Lease = RunnerLease | SweeperLease | ApplierLease | ForwarderLease


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
    #: As of the migration.
    trace: str | None = None


@dataclass(frozen=True)
class Event:
    """One line of a migration's history, written with the change it tells of."""

    #: Later ones of the same migration have larger ones.
    id: int
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


class Due(StrEnum):
    """What is to be done with a collection that a run has left behind, in its time."""

    #: Forward what was still written to it, again and again until it is retired.
    SWEEP = "sweep"
    #: Its retention window has closed: end the way back and hold it.
    RETIRE = "retire"
    #: It was held for long enough.
    DROP = "drop"


class Round(StrEnum):
    """What the watchdogs of all workers do in turns, a round at a time."""

    #: Silence, deadlines, forgotten messages, what is due.
    JUDGING = "judging"
    #: Whether the bots' aliases say what their rows say.
    ALIASES = "aliases"
    #: Collections that late workers have made.
    ORPHANS = "orphans"


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
    return f"{shortened(alias, 200)}__g{generation}_{migration_id.hex[:8]}"
