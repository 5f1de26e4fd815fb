"""Phase 2: write down everything needed to put the bot back."""

from __future__ import annotations

from typing import Any

from migrations.model.report import Report
from migrations.model.runs import RollbackInfo
from migrations.run.content import content_digest
from migrations.run.run import Run


def execute(run: Run) -> dict[str, Any]:
    """Record the bot's configuration and its collection's schema, count and content digest."""
    source = run.source
    count, digest = _validated(run) or content_digest(run.services.vectors, source, run.check)
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


def _validated(run: Run) -> tuple[int, str] | None:
    """Count and digest as validation has read them, if the source still counts as many.

    Reading every chunk once more, a moment later, would take as long as validation did.
    None where an older version has validated, or chunks came or went since. What came in
    the last two seconds may not be counted yet: the record is as of validation then.
    """
    report = Report.model_validate(run.migration.validation or {})
    texts = next((check.details for check in report.checks if check.name == "texts"), {})
    if "content_digest" not in texts:
        return None
    vectors = run.services.vectors
    if vectors.count(run.source.name, as_of=vectors.lately()) != texts["chunks"]:
        return None
    return texts["chunks"], texts["content_digest"]


def undo(run: Run) -> None:
    """The record only describes; it stays with the migration as history."""
