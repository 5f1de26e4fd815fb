"""One batch: at most ``batch_size`` chunks of one key range, embedded and stored.

The order matters. Rows go to the target first and the checkpoint is marked
after, so the checkpoint may lag what is there but never lead it: a batch that
dies between the two is done again, and finds its rows in the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from migrations.copying.looked_up import note_what_is_found
from migrations.embedding.embed import embed
from migrations.model.chunks import Chunk, Content, KeyRange, content_of
from migrations.model.errors import Superseded
from migrations.ports.checkpoints import Counters
from migrations.process.failpoints import failpoint
from migrations.run.run import Run
from migrations.run.trust import target_may_hold_chunks

log = structlog.get_logger(__name__)

#: Longer than one provider call and one upsert may take together (their timeouts).
LEASE_SECONDS = 120


def run_batch(run: Run, index: int, within: KeyRange) -> dict[str, Any]:
    """Embed and store one batch, once.

    Returns:
        {"outcome": "done" | "done_before" | "taken", "processed", "failed", "skipped", "tokens"}

    Raises:
        Superseded, TimedOut, CheckpointsLost, CheckpointsUnavailable; PermanentError
        for faults that no other batch would survive either.
    """
    migration, checkpoints = run.migration, run.services.checkpoints
    if index not in checkpoints.undone(migration.id, index, 1):
        return {"outcome": "done_before"}  # or of a plan that is no more
    with checkpoints.lease(migration.id, migration.epoch, index, LEASE_SECONDS) as mine:
        if not mine:
            return {"outcome": "taken"}
        counters, read = _move(run, index, within)
        failpoint("batch.before_mark", migration_id=migration.id, batch=index)
        checkpoints.mark_done(migration.id, index, counters, worked=within, read=read)
        failpoint("batch.after_mark", migration_id=migration.id, batch=index)
    return {"outcome": "done", **vars(counters)}


def _move(run: Run, index: int, within: KeyRange) -> tuple[Counters, Content]:
    """What became of the chunks, and what the source held when they were read."""
    failpoint("batch.before_read", migration_id=run.migration.id, batch=index)
    chunks = run.patiently(lambda: run.reads.chunks_of(run, index, within))
    run.patiently(lambda: note_what_is_found(run.services.store, run.source, chunks))
    todo = _not_in_target(run, chunks) if target_may_hold_chunks(run) else chunks
    skipped = len(chunks) - len(todo)
    counters = Counters(processed=skipped, skipped=skipped)
    size = run.services.settings.checkpoint_every_chunks
    for start in range(0, len(todo), size):
        counters = _move_slice(run, todo[start : start + size], counters)
        if start + size < len(todo):  # the last one is told with the mark
            run.services.checkpoints.note_slice(run.migration.id, index, counters)
    return counters, content_of(chunks)


def _not_in_target(run: Run, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Those whose text the target does not hold yet; other fields are left to catching up."""
    if not chunks:
        return []
    keys = [c.key for c in chunks]
    held = {c.key: c for c in run.patiently(lambda: run.services.vectors.fetch(run.target, keys))}
    return [c for c in chunks if not run.is_same_text(c, held.get(c.key))]


def _move_slice(run: Run, chunks: Sequence[Chunk], before: Counters) -> Counters:
    outcome = embed(run, chunks, purpose="data_migration")
    failpoint("batch.before_upsert", migration_id=run.migration.id, chunks=len(chunks))
    if outcome.chunks:
        run.has_stored = True
        run.keep_what_is_paid(
            lambda: run.services.vectors.upsert(run.target, outcome.chunks, outcome.vectors)
        )
    if outcome.is_cut_off:  # the batch finds them when the run is resumed
        raise Superseded
    failpoint("batch.after_upsert", migration_id=run.migration.id, chunks=len(chunks))
    for chunk, error in outcome.refused:
        log.warning("chunk_refused", key=str(chunk.key), code=error.code)
        run.services.store.record_failed_chunk(
            run.migration.id, str(chunk.key), error.code, error.message
        )
    return Counters(
        processed=before.processed + len(outcome.chunks),
        failed=before.failed + len(outcome.refused),
        skipped=before.skipped,
        tokens=before.tokens + outcome.tokens,
    )
