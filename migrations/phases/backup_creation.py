"""Phase 2: write down everything needed to put the bot back."""

from __future__ import annotations

from typing import Any

from migrations.results import RollbackInfo
from migrations.run import Run


def run(run: Run) -> dict[str, Any]:
    """Record the bot's configuration and its collection's schema, count and content digest."""
    count, digest = _digest(run)
    source = run.source
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


def _digest(run: Run) -> tuple[int, str]:
    """Chunks, and the sum of their digests modulo 2^128: the order of reading does not matter."""
    count, total = 0, 0
    for page in run.services.vectors.scan(run.source):
        run.check()
        count += len(page)
        total += sum(int.from_bytes(chunk.digest()) for chunk in page)
    return count, f"{total % 2**128:032x}"


def undo(run: Run) -> None:
    """The record only describes; it stays with the migration as history."""
