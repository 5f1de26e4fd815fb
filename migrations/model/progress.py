"""What a migration has done so far, and how it ended, as a caller sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from migrations.model.findings import Finding
from migrations.model.states import Kind, Phase, Status
from migrations.model.what_now import what_now


@dataclass(frozen=True)
class ChunkError:
    """One chunk that could not be migrated, and why."""

    key: str
    code: str
    message: str
    attempts: int


@dataclass(frozen=True)
class PhaseProgress:
    """When a phase began and ended; both in UTC, None while it has not."""

    phase: Phase
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class Held:
    """What refusals have taught, or a pause that the provider has asked for."""

    provider: str
    #: In a sentence.
    told: str
    #: Of its known limits; 1 where that is not what holds.
    share: float
    #: Where no limit is known.
    requests_per_minute: float | None
    paused_seconds: float
    refused_seconds_ago: float | None


@dataclass(frozen=True)
class MigrationProgress:
    """A snapshot of one migration.

    Counts are chunks unless named otherwise; ``processed_chunks`` includes those
    that were already in the target and did not have to be embedded again.
    ``chunks_per_second`` is the rate of the last minute, 0 when nothing is moved forward;
    ``estimated_completion`` is None then, and while something is waited for.
    """

    migration_id: UUID
    bot_id: str
    owner: str
    kind: Kind
    status: Status
    phase: Phase
    epoch: int
    total_chunks: int
    processed_chunks: int
    failed_chunks: int
    current_batch: int
    total_batches: int
    chunks_per_second: float
    tokens_used: int
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    estimated_completion: datetime | None
    #: How long it may take until its switch in all, and until when that is.
    timeout_seconds: int
    deadline_at: datetime
    #: See :mod:`migrations.lifecycle.decision`; empty where it never waited before its switch.
    decision: dict[str, Any] = field(default_factory=dict)
    #: What holds its calls to the target's provider beside limits that are known; None where
    #: nothing does, or it is not known.
    held_to: Held | None = None
    #: What somebody has set on its way; see :mod:`migrations.lifecycle.pausing`.
    controls: dict[str, Any] = field(default_factory=dict)
    #: Chunks that the last catching up wrote or deleted, and those of its last pass: how far
    #: the target was behind its source, and is.
    caught_up_chunks: int = 0
    remaining_chunks: int = 0
    #: Of a run that has switched back first: rows that are still to be carried over; None before
    #: they are counted, and of any other run.
    rows_on_their_way: int | None = None
    #: Why nothing moves right now, e.g. a provider that is being waited for.
    waiting_for: str | None = None
    #: Over all of the data migration phase, so far or as a whole.
    average_chunks_per_second: float = 0.0
    error: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    #: What is wrong with that which it stands on, and with its being driven.
    findings: list[Finding] = field(default_factory=list)
    failed: list[ChunkError] = field(default_factory=list)
    phases: list[PhaseProgress] = field(default_factory=list)

    @property
    def what_now(self) -> str | None:
        """What may be done, where it does not go on by itself."""
        return what_now(self.migration_id, self.status)

    @property
    def percent(self) -> float:
        """Share of chunks processed, 0 to 100; 100 for an empty collection that is done."""
        if self.total_chunks == 0:
            return 100.0 if self.finished_at else 0.0
        return round(min(100.0, 100.0 * self.processed_chunks / self.total_chunks), 2)


@dataclass(frozen=True)
class MigrationResult:
    """How a migration ended."""

    migration_id: UUID
    bot_id: str
    status: Status
    total_chunks: int
    failed_chunks: int
    tokens_used: int
    started_at: datetime | None
    finished_at: datetime | None
    generation: int | None
    error: dict[str, Any] | None

    @property
    def what_now(self) -> str | None:
        """What may be done, where it does not go on by itself."""
        return what_now(self.migration_id, self.status)

    @property
    def succeeded(self) -> bool:
        return self.status in {Status.SWITCHED, Status.COMPLETED}

    @property
    def duration_seconds(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()
