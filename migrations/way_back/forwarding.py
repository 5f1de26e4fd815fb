"""Forward late writes to the live collection, or keep them as conflicts.

Those whose chunk nobody has touched there are forwarded: copied where the text is the same,
embedded with the live model otherwise. What is live and newer stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from migrations.copying.comparison import PAGE_SIZE, copy_vectors, replacing
from migrations.copying.doubled import other_rows
from migrations.copying.looked_up import note_what_is_found
from migrations.embedding.embed import Outcome, embed
from migrations.model.chunks import Chunk, Key, once_each
from migrations.model.errors import PermanentError, RequestError, TransientError
from migrations.model.left_behind import Conflict, ConflictReason
from migrations.model.snapshot import (
    SnapshotPart,
    WrittenRow,
    content_hash,
    key_hash,
    state_hash,
)
from migrations.run.run import Run
from migrations.way_back.sweep_run import SweepResult, SweepRun

log = structlog.get_logger(__name__)


def forward(
    run: SweepRun,
    written: Sequence[tuple[Chunk, bytes | None]],
    result: SweepResult,
    *,
    last_chance: bool,
) -> None:
    size = run.migration.config.batch_size
    for start in range(0, len(written), size):
        _forward_some(run, written[start : start + size], result, last_chance=last_chance)
        run.got_on()


def _forward_some(
    run: SweepRun,
    written: Sequence[tuple[Chunk, bytes | None]],
    result: SweepResult,
    *,
    last_chance: bool,
) -> None:
    note_what_is_found(run.services.store, run.source, [chunk for chunk, _ in written])
    open_ones, theirs = _still_open(run, written, result)
    same_text = [c for c, _ in open_ones if run.is_same_text(c, theirs.get(c.key))]
    copied = {chunk.key for chunk in same_text}
    new_text = [pair for pair in open_ones if pair[0].key not in copied]
    run.must_go_on()
    _note(run, same_text, theirs)
    result.applied += copy_vectors(run, same_text)
    outcome = _embedded(run, [chunk for chunk, _ in new_text], result, last_chance=last_chance)
    if outcome is None:
        return
    place = {chunk.key: i for i, chunk in enumerate(outcome.chunks)}
    # Once more: embedding takes seconds, in which a writer may have been here.
    last, theirs = _still_open(run, [pair for pair in new_text if pair[0].key in place], result)
    chunks = [chunk for chunk, _ in last]
    if chunks:
        run.must_go_on()
        vectors = outcome.vectors[[place[chunk.key] for chunk in chunks]]
        _note(run, chunks, theirs)
        run.services.vectors.upsert(run.target, chunks, vectors)
        keys = [str(chunk.key) for chunk in chunks]
        run.services.store.resolve_failed_chunks(run.migration.id, keys)
        result.applied += len(chunks)


def _note(run: Run, chunks: Sequence[Chunk], theirs: Mapping[Key, Chunk]) -> None:
    """Right before they are written over what the live collection has."""
    notes = [replacing(c, [theirs[c.key]] if c.key in theirs else []) for c in chunks]
    run.services.store.note_written(run.migration.id, notes)


def _embedded(
    run: SweepRun, chunks: Sequence[Chunk], result: SweepResult, *, last_chance: bool
) -> Outcome | None:
    """None when there is nothing to store; what cannot be embedded is kept as conflicts."""
    if not chunks:
        return None
    try:
        outcome = embed(run, chunks, purpose="sweep")
    except (PermanentError, RequestError, TransientError) as error:
        if not last_chance:
            raise
        # The way back must not depend on the model that is being left, perhaps because it fails.
        log.warning("late_writes_not_embedded", chunks=len(chunks), reason=error.message)
        _keep(run, [_not_embedded(chunk) for chunk in chunks], result)
        return None
    _keep(run, [_not_embedded(chunk) for chunk, _ in outcome.refused], result)
    if run.migration.switches_first:  # on the way back of this its absence is no deletion
        for chunk, why in outcome.refused:
            store, key = run.services.store, str(chunk.key)
            store.record_failed_chunk(run.migration.id, key, why.code, why.message)
    return outcome


def _still_open(
    run: SweepRun, written: Sequence[tuple[Chunk, bytes | None]], result: SweepResult
) -> tuple[list[tuple[Chunk, bytes | None]], dict[Key, Chunk]]:
    """Those that the live collection neither has already nor has something newer for."""
    theirs = _live_chunks(run, [chunk.key for chunk, _ in written])
    written = _with_newest(run, written)
    left_out = _left_out(run)
    open_ones: list[tuple[Chunk, bytes | None]] = []
    lost: list[Conflict] = []
    for chunk, before in written:
        other = theirs.get(chunk.key)
        if other is not None and other.holds_the_same_as(chunk):
            continue  # a sweep that died after forwarding it, or a writer that writes twice
        if _as_in_snapshot(other, before, str(chunk.key) in left_out):
            open_ones.append((chunk, before))
        else:
            lost.append(Conflict(str(chunk.key), chunk.stored_fields, ConflictReason.LIVE_IS_NEWER))
    _keep(run, lost, result)
    return open_ones, theirs


def _live_chunks(run: SweepRun, keys: Sequence[Key]) -> dict[Key, Chunk]:
    """How often a key stands matters only where the snapshot is of the live collection itself."""
    if run.migration.switches_first:
        found = once_each(run.services.vectors.fetch_rows(run.target, keys))
    else:
        found = run.services.vectors.fetch(run.target, keys)
    return {chunk.key: chunk for chunk in found}


def _with_newest(
    run: SweepRun, written: Sequence[tuple[Chunk, bytes | None]]
) -> Sequence[tuple[Chunk, bytes | None]]:
    """Of a key that has been doubled since, the row that is not in the snapshot."""
    known = {c.key: {content_hash(c)} for c, before in written if before == content_hash(c)}
    if not known:
        return written
    newest = other_rows(run, known)
    return [(newest.get(chunk.key, chunk), before) for chunk, before in written]


def _as_in_snapshot(live: Chunk | None, before: bytes | None, left_out: bool) -> bool:
    """Whether the live collection's chunk is what the snapshot says, so that nobody touched it.

    A chunk that the run was permitted to leave out never came to be in it.
    """
    if live is None:
        return before is None or left_out
    return before in {content_hash(live), state_hash(live)}


def _left_out(run: Run) -> set[str]:
    store, migration_id = run.services.store, run.migration.id
    count = store.count_failed_chunks(migration_id)
    return {chunk.key for chunk in store.failed_chunks(migration_id, count)} if count else set()


def forward_deletions(
    run: SweepRun, part: SnapshotPart, gone: dict[bytes, bytes], result: SweepResult
) -> None:
    """The snapshot knows hashes of keys only; the keys themselves are in the live collection."""
    if not gone:
        return
    doomed: dict[Key, Chunk] = {}
    kept: list[Conflict] = []
    pages = run.services.vectors.scan_rows(run.target, part.within, page_size=PAGE_SIZE)
    for page in pages:
        for chunk in once_each(page) if run.migration.switches_first else page:
            before = gone.get(key_hash(chunk.key))
            if before in {content_hash(chunk), state_hash(chunk)}:
                doomed[chunk.key] = chunk
            elif before is not None:
                kept.append(Conflict(str(chunk.key), None, ConflictReason.LIVE_IS_NEWER))
    run.must_go_on()
    if doomed:
        notes = [WrittenRow(key, frozenset([content_hash(c)])) for key, c in doomed.items()]
        run.services.store.note_written(run.migration.id, notes)
        run.services.vectors.delete(run.target, list(doomed))
    result.deleted += len(doomed)
    _keep(run, kept, result)


def _not_embedded(chunk: Chunk) -> Conflict:
    return Conflict(str(chunk.key), chunk.stored_fields, ConflictReason.NOT_EMBEDDED)


def _keep(run: Run, conflicts: Sequence[Conflict], result: SweepResult) -> None:
    if conflicts:
        run.services.store.record_conflicts(run.migration.id, conflicts)
        result.conflicts += len(conflicts)
