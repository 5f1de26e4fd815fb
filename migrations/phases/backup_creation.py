"""Phase 2: write down everything needed to put the bot back."""

from __future__ import annotations

from typing import Any

from migrations.content import content_digest
from migrations.results import RollbackInfo
from migrations.run import Run


def run(run: Run) -> dict[str, Any]:
    """Record the bot's configuration and its collection's schema, count and content digest."""
    source = run.source
    count, digest = content_digest(run.services.vectors, source, run.check)
    info = RollbackInfo(
        bot_id=run.bot.bot_id,
        collection=source.name,
        embedding=run.migration.config.source,
        generation=run.migration.source_generation,
        alias=run.bot.alias,
        collection_schema=dict(source.description),
        chunk_count=count,
        content_digest=digest,
    )
    return {"rollback_info": info, "totals": {"total_chunks": count}}


def undo(run: Run) -> None:
    """The record only describes; it stays with the migration as history."""
