"""The report of a migration: what was compared, how much, what was found, and what was not."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.parts import EmbeddingItem, RequestPart, ResponseBody
from migrations.model.answers import VerificationReport
from migrations.model.states import Kind, Status


class ReportQuery(RequestPart):
    """A misspelt parameter is an error."""

    model_config = ConfigDict(extra="forbid")

    place: ClassVar[str] = "query"

    format: Literal["json", "html"] | None = Field(
        default=None,
        description="Left out, what the request accepts, else JSON.",
        json_schema_extra={"example": "html"},
    )


class ReportCheckItem(ResponseBody):
    """One thing that was looked at."""

    name: str = Field(description="Its name.", examples=["neighbourhoods"])
    passed: bool = Field(description="Whether it is as wanted.", examples=[True])
    severity: str = Field(
        description="What not passing means: 'error' fails the run, 'gate' lets it wait for a "
        "person, 'warning' tells.",
        examples=["gate"],
    )
    message: str = Field(
        description="What was found, in a sentence.",
        examples=["Of the 10 rows nearest to a row by stored vectors, 61.0% are the same."],
    )
    details: dict[str, Any] = Field(
        description="Figures behind it.", examples=[{"overlap": 0.61, "chance": 0.002}]
    )


class MigrationReportResponse(ResponseBody):
    """What verification found."""

    migration_id: UUID = Field(
        description="The migration.", examples=["6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11"]
    )
    bot_id: str = Field(description="Its bot.", examples=["support-bot"])
    kind: Kind = Field(description="Forward, or back again (reverse).", examples=["forward"])
    status: Status = Field(description="Where it stands.", examples=["completed"])
    source: EmbeddingItem = Field(
        description="What the bot came from.",
        examples=[{"provider": "openai", "model": "text-embedding-3-small", "dimension": 1536}],
    )
    target: EmbeddingItem = Field(
        description="What it goes to.",
        examples=[{"provider": "openai", "model": "text-embedding-3-large", "dimension": 3072}],
    )
    source_collection: str = Field(
        description="The collection that was read.", examples=["support_docs"]
    )
    target_collection: str = Field(
        description="The collection that was filled.",
        examples=["support_docs_live__g2_6f1f4a52"],
    )
    verified_at: datetime | None = Field(
        description="When verification ended; null where it has not.",
        examples=["2026-11-03T09:20:00Z"],
    )
    checks: list[ReportCheckItem] = Field(description="What was looked at.", examples=[[]])
    not_compared: list[str] = Field(
        description="What was not, each in a sentence.",
        examples=[["Questions of users: the bot has no golden queries."]],
    )
    tokens: dict[str, int] = Field(
        description="Tokens that providers counted for this migration, by what they were for.",
        examples=[{"data_migration": 5200000, "verification": 52000, "questions": 7400}],
    )
    decision: dict[str, Any] = Field(
        description="What it waited for, and who accepted it why; empty where it never waited.",
        examples=[{}],
    )
    gates: dict[str, Any] = Field(
        description="Gates that were asked for at the start, why, and by whom.",
        examples=[{"asked": {"recall": 0.8}, "reason": "Few texts.", "by": "acme"}],
    )

    @classmethod
    def of(cls, found: VerificationReport) -> Self:
        migration = found.migration
        return cls(
            migration_id=migration.id,
            bot_id=migration.bot_id,
            kind=migration.kind,
            status=migration.status,
            source=EmbeddingItem.of(migration.config.source),
            target=EmbeddingItem.of(migration.config.target),
            source_collection=migration.source_collection,
            target_collection=migration.target_collection,
            verified_at=found.verified_at,
            checks=[ReportCheckItem(**check.model_dump()) for check in found.checks],
            not_compared=list(found.not_compared),
            tokens=dict(found.tokens),
            decision=migration.decision,
            gates={
                "asked": dict(migration.config.gates),
                "reason": migration.config.gates_reason,
                "by": migration.requested_by,
            },
        )
