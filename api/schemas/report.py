"""The report of a migration: what was compared, how much, what was found, and what was not."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from api.schemas.checks import CheckItem
from api.schemas.parts import EmbeddingItem, ResponseBody
from migrations.model.answers import VerificationReport
from migrations.model.states import Kind, Status


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
    checks: list[CheckItem] = Field(description="What was looked at.", examples=[[]])
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
            checks=CheckItem.all_of(found.checks),
            not_compared=list(found.not_compared),
            tokens=dict(found.tokens),
            decision=migration.decision,
            gates={
                "asked": dict(migration.config.gates),
                "reason": migration.config.gates_reason,
                "by": migration.requested_by,
            },
        )
