"""What phases find and leave behind: reports, rollback information, results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from migrations.config import EmbeddingRef
from migrations.states import Status


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


class Check(BaseModel):
    """One thing that was looked at, and what was found."""

    name: str
    passed: bool
    #: A failed check that only warns does not stop the migration.
    severity: str = "error"
    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class Report(BaseModel):
    """The outcome of validation or verification, kept with the migration."""

    checks: list[Check] = Field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.errors

    @property
    def errors(self) -> list[Check]:
        return [c for c in self.checks if not c.passed and c.severity == "error"]

    @property
    def warnings(self) -> list[Check]:
        return [c for c in self.checks if not c.passed and c.severity != "error"]

    def add(
        self, name: str, passed: bool, message: str, *, severity: str = "error", **details: Any
    ) -> None:
        self.checks.append(
            Check(name=name, passed=passed, message=message, severity=severity, details=details)
        )


class Estimate(BaseModel):
    """What a migration would take. Money in US dollars, at the catalogue's prices."""

    chunks: int
    batches: int
    tokens: int
    cost_usd: float | None
    duration_seconds: float
    #: Bytes of the new vectors alone: chunks x dimension x 4.
    vector_bytes: int
    sampled_chunks: int
    #: How each figure was come by, in sentences.
    basis: list[str]


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
    def succeeded(self) -> bool:
        return self.status in {Status.SWITCHED, Status.COMPLETED}

    @property
    def duration_seconds(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()
