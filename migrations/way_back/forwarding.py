"""Forward late writes to the live collection, or keep them as conflicts.

Those whose chunk nobody has touched there are forwarded: copied where the text is the same,
embedded with the live model otherwise. What is live and newer stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from migrations.copying.comparison import PAGE_SIZE, replacing
from migrations.copying.doubled import other_rows
from migrations.copying.looked_up import note_what_is_found
from migrations.embedding.embed import Outcome, embed
from migrations.model.chunks import Chunk, Key, once_each, stacked
from migrations.model.errors import (
    PermanentError,
    RequestError,
    SweepPostponed,
    TransientError,
)
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
from migrations.writers.alone import writing_alone

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
    same_text = [pair for pair in open_ones if run.is_same_text(pair[0], theirs.get(pair[0].key))]
    copied = {chunk.key for chunk, _ in same_text}
    new_text = [pair for pair in open_ones if pair[0].key not in copied]
    _write_over(run, same_text, theirs, {}, result)
    outcome = _embedded(run, [chunk for chunk, _ in new_text], result, last_chance=last_chance)
    if outcome is None:
        return
    pairs = zip(outcome.chunks, outcome.vectors, strict=True)
    embedded = {chunk.key: replace(chunk, vector=vector) for chunk, vector in pairs}
    # Once more: embedding takes seconds, in which a writer may have been here.
    last, theirs = _still_open(run, [pair for pair in new_text if pair[0].key in embedded], result)
    chunks = _write_over(run, last, theirs, embedded, result)
    if chunks:
        keys = [str(chunk.key) for chunk in chunks]
        run.services.store.resolve_failed_chunks(run.migration.id, keys)


def _write_over(
    run: SweepRun,
    open_ones: Sequence[tuple[Chunk, bytes | None]],
    theirs: Mapping[Key, Chunk],
    embedded: Mapping[Key, Chunk],
    result: SweepResult,
) -> list[Chunk]:
    """Those that were written over ``theirs``, with the vectors of ``embedded``.

    Without any, with those that the live collection has. It is looked at as the last thing before.
    """
    if not open_ones:
        return []
    run.must_go_on()
    chunks = [chunk for chunk, _ in open_ones]
    notes = [replacing(c, [theirs[c.key]] if c.key in theirs else []) for c in chunks]
    run.services.store.note_written(run.migration.id, notes)
    with writing_alone(run) as still_alone:
        now = _live_chunks(run, [c.key for c in chunks], with_vectors=not embedded)
        untouched = [c for c in chunks if _is_same(theirs.get(c.key), now.get(c.key))]
        if untouched:
            holders = embedded or now
            vectors = stacked([holders[c.key] for c in untouched], run.target.dimension)
            still_alone()
            run.services.vectors.upsert(run.target, untouched, vectors)
    result.applied += len(untouched)
    written = {chunk.key for chunk in untouched}
    touched = [pair for pair in open_ones if pair[0].key not in written]
    if touched and _still_open(run, touched, result)[0]:
        raise SweepPostponed("A chunk that is live changes, and changes back; it is tried again.")
    return untouched


def _is_same(one: Chunk | None, other: Chunk | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.holds_the_same_as(other)


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


def _live_chunks(
    run: SweepRun, keys: Sequence[Key], *, with_vectors: bool = False
) -> dict[Key, Chunk]:
    """How often a key stands matters only where the snapshot is of the live collection itself."""
    vectors, target = run.services.vectors, run.target
    if run.migration.switches_first:
        found = once_each(vectors.fetch_rows(target, keys, with_vectors=with_vectors))
    else:
        found = vectors.fetch(target, keys, with_vectors=with_vectors)
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
    kept: list[Key] = []
    pages = run.services.vectors.scan_rows(run.target, part.within, page_size=PAGE_SIZE)
    for page in pages:
        for chunk in once_each(page) if run.migration.switches_first else page:
            before = gone.get(key_hash(chunk.key))
            if before in {content_hash(chunk), state_hash(chunk)}:
                doomed[chunk.key] = chunk
            elif before is not None:
                kept.append(chunk.key)
    if doomed:
        kept += _delete(run, doomed, result)
    newer = [Conflict(str(key), None, ConflictReason.LIVE_IS_NEWER) for key in kept]
    _keep(run, newer, result)


def _delete(run: SweepRun, doomed: Mapping[Key, Chunk], result: SweepResult) -> list[Key]:
    """Delete those that are still as they were; the keys of the others."""
    run.must_go_on()
    notes = [WrittenRow(key, frozenset([content_hash(c)])) for key, c in doomed.items()]
    run.services.store.note_written(run.migration.id, notes)
    with writing_alone(run) as still_alone:
        now = _live_chunks(run, list(doomed))
        untouched = {key for key, chunk in doomed.items() if _is_same(chunk, now.get(key))}
        if untouched:
            still_alone()
            run.services.vectors.delete(run.target, list(untouched))
    result.deleted += len(untouched)
    return [key for key in now if key not in untouched]


def _not_embedded(chunk: Chunk) -> Conflict:
    return Conflict(str(chunk.key), chunk.stored_fields, ConflictReason.NOT_EMBEDDED)


def _keep(run: Run, conflicts: Sequence[Conflict], result: SweepResult) -> None:
    if conflicts:
        run.services.store.record_conflicts(run.migration.id, conflicts)
        result.conflicts += len(conflicts)
