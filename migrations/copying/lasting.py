"""Does it last what was written? Looked at until the switch, and for a while after it.

An engine may acknowledge a deletion, show it, and have the row back seconds later, for
good (docs/decisions.md). So a pass that wrote proves nothing: each row that catching up
has written is looked at again after it was flushed, the target is counted right before
the switch, and what is live is looked at once more by the first sweeps.

Before the switch nobody else writes to the target, so whatever differs is written once
more. Afterwards its users do. A key that stands twice is nobody's wish and is mended;
what came back alone may have been written again by a user, and is for a person to judge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

import structlog

from migrations.copying.comparison import PassResult, apply, difference_of, keys_left_out
from migrations.embedding.embed import embed
from migrations.model.chunks import Chunk, Key, Vectors, stacked
from migrations.model.given_keys import STRANGERS, Mapped, digest_of
from migrations.model.left_behind import Conflict, ConflictReason
from migrations.model.snapshot import WrittenRow, content_hash
from migrations.run.run import Run
from migrations.run.trust import Because, flush
from migrations.writers.alone import writing_alone

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: Rows that are looked at again, the latest; of any earlier ones the count must do.
MOST_LOOKED_AT = 20_000
KEYS_AT_ONCE = 1_000
#: How often rows are written, and everything is compared, before the engine is given up.
LOOKS = 5
#: A lost deletion has shown 8 to 9.5 s after its flush, and at the first look at which
#: everything was stored (seven losses on Milvus 2.3.5).
SETTLING_SECONDS = 15.0
#: What a sweep finds as it was written is forgotten this long after it was written.
REMEMBERED_SECONDS = 300.0


def lasts(run: Run, result: PassResult) -> bool:
    """Look at every row that was written until all are as they were written.

    False when some differ however often they are written.
    """
    for _ in range(LOOKS):
        written = _written(run)
        _await_settled(run, written)
        looked_at = _looked_at(run, written)
        doubtful = [row for row, theirs in looked_at if not _is_as_written(row, theirs)]
        if not doubtful:
            return True
        log.warning("writes_did_not_last", rows=len(doubtful), examples=_shown(doubtful))
        for part in _parts(doubtful):
            _write_again(run, part, result)
        flush(run, run.target.name, Because.IT_WAS_CAUGHT_UP)
    return False


def _await_settled(run: Run, written: Sequence[WrittenRow]) -> None:
    """Where something was deleted or replaced, until what is read is what is stored.

    Writers go on meanwhile; what they write then is forwarded right after the switch.
    """
    if not any(row.was for row in written):
        return
    clock, name = run.services.clock, run.target.name
    until = clock.monotonic() + SETTLING_SECONDS
    while not run.services.vectors.is_settled(name):
        if clock.monotonic() > until:
            log.warning("target_does_not_settle", collection=name, seconds=SETTLING_SECONDS)
            return
        run.wait(0.5)


def _write_again(run: Run, rows: Sequence[WrittenRow], result: PassResult) -> None:
    difference = difference_of(run, [row.key for row in rows])
    now = {chunk.key: content_hash(chunk) for chunk in difference.page}
    # Of those that differ no more, too: a note may be of a write that was never made.
    notes = [WrittenRow(row.key, now=now.get(row.key)) for row in rows]
    run.services.store.note_written(run.migration.id, notes)
    apply(run, difference, result)
    result.in_target += len(now) - sum(row.now is not None for row in rows)


def counts_as_compared(run: Run, result: PassResult) -> bool:
    """Whether the target has exactly as many rows now as were compared and written."""
    expected = expected_rows(run, result)
    counted = run.services.vectors.count(run.target.name)
    if counted != expected:
        log.warning("target_counts_otherwise", counted=counted, expected=expected)
    return counted == expected


def expected_rows(run: Run, result: PassResult) -> int:
    """What was compared and written, and what stays by permission although the source lacks it."""
    as_key = str if run.target.key_is_string else int
    keys: list[Key] = [as_key(key) for key in keys_left_out(run)]
    return result.in_target + sum(len(difference_of(run, part).left_out) for part in _parts(keys))


# --- after the switch -------------------------------------------------------------


def mend_what_came_back(run: Run) -> None:
    """Look at what the run had written to its target, which is live since.

    A key that stands twice gets the one row that was not there before; where texts stand
    elsewhere nothing tells which of them that is, and it is embedded again. What stands alone
    and was to be gone is kept as a conflict, and so is what cannot be told.
    """
    _remove_nobodys(run)
    doubled: list[Chunk] = []
    hidden: list[WrittenRow] = []
    unclear: list[WrittenRow] = []
    for row, theirs in _looked_at(run, _written(run), with_vectors=True):
        newer = {h: c for c in theirs if (h := content_hash(c)) == row.now or h not in row.was}
        if len(theirs) > 1 and len(newer) == 1 and run.target.look_up is None:
            doubled += newer.values()
        elif len(theirs) > 1:
            hidden.append(row)
        elif theirs and not newer:
            unclear.append(row)
    _mend(run, doubled, stacked(doubled, run.target.dimension))
    unclear += _mend_hidden(run, hidden)
    if unclear:
        log.warning("rows_came_back", rows=len(unclear), examples=_shown(unclear))
        kept = [Conflict(str(row.key), None, ConflictReason.CAME_BACK) for row in unclear]
        run.services.store.record_conflicts(run.migration.id, kept)


def _remove_nobodys(run: Run) -> None:
    """Rows that a worker of before has inserted too late, where Milvus gives the keys.

    They have the content of a row that was announced and was written by somebody else since.
    """
    target, vectors = run.target, run.services.vectors
    if target.keyed_as is None:
        return
    announced = run.services.store.intents(Mapped(target.keyed_as, target.name))
    digests = {intent.digest for intent in announced}
    if not digests:
        return
    pages = vectors.scan(target, STRANGERS)
    nobodys = [c.key for page in pages for c in page if digest_of(c, target.key_field) in digests]
    if nobodys:
        log.warning("nobodys_rows_removed", collection=target.name, rows=len(nobodys))
        run.must_go_on()
        vectors.delete(target, nobodys)


def _mend(run: Run, doubled: Sequence[Chunk], vectors: Vectors) -> None:
    if not doubled:
        return
    log.warning("doubled_rows_mended", rows=len(doubled), examples=[c.key for c in doubled[:10]])
    run.must_go_on()
    notes = [WrittenRow(chunk.key, now=content_hash(chunk)) for chunk in doubled]
    run.services.store.note_written(run.migration.id, notes)
    with writing_alone(run) as still_alone:
        # Whoever has written one of them meanwhile has mended it.
        found = run.services.vectors.fetch_rows(run.target, [chunk.key for chunk in doubled])
        rows = Counter(chunk.key for chunk in found)
        still = [i for i, chunk in enumerate(doubled) if rows[chunk.key] > 1]
        if still:
            still_alone()
            run.services.vectors.upsert(run.target, [doubled[i] for i in still], vectors[still])
    flush(run, run.target.name, Because.LATE_WRITES_WERE_FORWARDED)


def _mend_hidden(run: Run, hidden: Sequence[WrittenRow]) -> list[WrittenRow]:
    """Of a doubled key Milvus shows one row, here the old one; the source may have the other.

    Returns those that it has not.
    """
    wanted = {row.key: row.now for row in hidden if row.now is not None}
    ours = run.services.vectors.fetch(run.source, list(wanted)) if wanted else []
    known = [chunk for chunk in ours if content_hash(chunk) == wanted[chunk.key]]
    if known:
        outcome = embed(run, known, purpose="sweep")
        known = outcome.chunks
        _mend(run, known, outcome.vectors)
    mended = {chunk.key for chunk in known}
    return [row for row in hidden if row.key not in mended]


# --- both -------------------------------------------------------------------------


def _written(run: Run) -> list[WrittenRow]:
    return run.services.store.written_rows(run.migration.id, MOST_LOOKED_AT)


def _looked_at(
    run: Run, written: Sequence[WrittenRow], *, with_vectors: bool = False
) -> Iterator[tuple[WrittenRow, list[Chunk]]]:
    """Each of these rows, with what the target holds of its key now."""
    vectors = run.services.vectors
    now = vectors.moment() if written else {}
    for part in _parts(written):
        run.must_go_on()
        theirs: defaultdict[Key, list[Chunk]] = defaultdict(list)
        keys = [row.key for row in part]
        found = vectors.fetch_rows(run.target, keys, with_vectors=with_vectors, as_of=now)
        for chunk in found:
            theirs[chunk.key].append(chunk)
        yield from ((row, theirs[row.key]) for row in part)


def _is_as_written(row: WrittenRow, theirs: Sequence[Chunk]) -> bool:
    return [content_hash(chunk) for chunk in theirs] == ([] if row.now is None else [row.now])


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), KEYS_AT_ONCE):
        yield items[start : start + KEYS_AT_ONCE]


def _shown(rows: Sequence[WrittenRow]) -> list[str]:
    return [str(row.key) for row in rows[:10]]
