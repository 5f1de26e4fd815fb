"""Texts that change in a table of the user's own after the switch: they are embedded again.

Which text a row of the live collection is of is noted, so nothing else has to be compared. A
row that is noted nowhere was written by an application, which has embedded it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from migrations.copying.comparison import PAGE_SIZE, replacing
from migrations.embedding.embed import embed
from migrations.model.chunks import Chunk, CollectionSchema
from migrations.model.looked_up import looked_up, read_with_texts
from migrations.process.failpoints import failpoint
from migrations.run.run import Run
from migrations.run.trust import Because, flush
from migrations.writers.alone import writing_alone

log = structlog.get_logger(__name__)


def embed_changed_texts(run: Run, got_on: Callable[[], None]) -> int:
    """Rows of the live collection that were embedded again; ``got_on`` is called now and then.

    Raises:
        what embedding and the vector store raise.
    """
    if run.target.look_up is None:
        return 0
    now, size, embedded = _as_of_now(run), run.migration.config.batch_size, 0
    for page in run.services.vectors.scan(now, page_size=PAGE_SIZE):
        changed = _changed(run, page)
        for start in range(0, len(changed), size):
            run.must_go_on()
            embedded += _embed_again(run, now, changed[start : start + size])
            got_on()
        got_on()
    if embedded:
        flush(run, run.target.name, Because.LATE_WRITES_WERE_FORWARDED)
        log.info("changed_texts_embedded", migration_id=str(run.migration.id), rows=embedded)
    return embedded


def _as_of_now(run: Run) -> CollectionSchema:
    return read_with_texts(run.target, run.bot.recipe)


def _changed(run: Run, page: Sequence[Chunk]) -> list[Chunk]:
    """With the text of now; a row that has lost its text keeps the vector it has."""
    noted = run.services.store.embedded_texts(run.target.name, [row.key for row in page])
    found = ((row, looked_up(row)) for row in page if row.key in noted)
    return [row for row, text in found if text and text.text and text.digest != noted[row.key]]


def _embed_again(run: Run, now: CollectionSchema, rows: Sequence[Chunk]) -> int:
    """Those that are still as they were once their vectors are there."""
    outcome = embed(run, rows, purpose="sweep")
    failpoint("changed_texts.before_upsert", migration_id=run.migration.id, rows=len(rows))
    run.must_go_on()
    keys = [row.key for row in outcome.chunks]
    was = {row.key: row for row in run.services.vectors.fetch(run.target, keys)}
    notes = [replacing(r, [was[r.key]] if r.key in was else []) for r in outcome.chunks]
    run.services.store.note_written(run.migration.id, notes)
    with writing_alone(run) as still_alone:
        there = {row.key: row for row in run.services.vectors.fetch(now, keys)}
        same = [i for i, row in enumerate(outcome.chunks) if _is_same(row, there.get(row.key))]
        kept = [outcome.chunks[i] for i in same]
        if kept:
            still_alone()
            run.services.vectors.upsert(run.target, kept, outcome.vectors[same])
    return len(kept)


def _is_same(row: Chunk, now: Chunk | None) -> bool:
    return now is not None and row.holds_the_same_as(now)
