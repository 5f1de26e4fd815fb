"""Phase 2: write down everything needed to put the bot back."""

from __future__ import annotations

from migrations.model.outcomes import BackedUp
from migrations.model.runs import RollbackInfo
from migrations.run.content import content_of_collection
from migrations.run.run import Run
from migrations.run.trust import as_validated


def execute(run: Run) -> BackedUp:
    """Record the bot's configuration and its collection's schema, count and content digest."""
    source = run.source
    content = as_validated(run) or content_of_collection(
        run.services.vectors, source, run.must_go_on
    )
    info = RollbackInfo(
        bot_id=run.bot.bot_id,
        collection=source.name,
        embedding=run.migration.config.source,
        generation=run.migration.source_generation,
        alias=run.bot.alias,
        collection_schema=dict(source.description),
        chunk_count=content.chunks,
        content_digest=content.hex,
    )
    return BackedUp(info=info)


def undo(run: Run) -> None:
    """The record only describes; it stays with the migration as history."""
