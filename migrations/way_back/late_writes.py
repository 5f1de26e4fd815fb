"""Late writes: forward what was still written to the old collection after the switch.

A foreign writer may keep a physical name for ever. What it writes there is found by
comparing the old collection with itself as it was when it was last caught up
(:mod:`migrations.model.snapshot`), so that nothing the new collection has been told since can
be mistaken for a late write. A late write whose chunk has not changed in the new
collection is forwarded; otherwise the new collection's chunk stays, because it is what
readers have been seeing, and the late write is kept as a conflict.

Each part's snapshot is replaced after its late writes were dealt with: it may lag what
was forwarded, never lead it, and a sweep that died finds its work done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from migrations.copying.comparison import PAGE_SIZE, copy_vectors, replacing
from migrations.copying.doubled import other_rows
from migrations.copying.lasting import REMEMBERED_SECONDS, mend_what_came_back
from migrations.copying.looked_up import note_what_is_found
from migrations.copying.snapshots import PARTS_PER_FLUSH, parts_as_of
from migrations.embedding.embed import Outcome, embed
from migrations.model.chunks import Chunk, Key, KeyRange
from migrations.model.errors import PermanentError, RequestError, SweepPostponed, TransientError
from migrations.model.left_behind import Conflict, ConflictReason
from migrations.model.runs import Due, Migration, SweeperLease
from migrations.model.snapshot import (
    SnapshotPart,
    WrittenRow,
    content_hash,
    key_hash,
    snapshot_of,
    state_hash,
)
from migrations.process import leases
from migrations.process.failpoints import failpoint
from migrations.process.services import Services
from migrations.run.run import Run
from migrations.run.trust import Because, flush
from migrations.target.ready import make_readable
from migrations.way_back.changed_texts import embed_changed_texts

log = structlog.get_logger(__name__)


#: A sweep that gets nowhere for so long gives up; the next one is due anyway.
PATIENCE_SECONDS = 60.0


@dataclass
class SweepResult:
    """What one sweep did, in chunks."""

    applied: int = 0
    deleted: int = 0
    conflicts: int = 0
    #: Differences between the old collection and its snapshot, whatever became of them.
    found: int = 0
    #: False when there was no snapshot, so that what came before it cannot be told.
    compared: bool = True

    @property
    def quiet(self) -> bool:
        """Nobody has written to the old collection since the last sweep."""
        return self.compared and self.found == 0


@dataclass
class SweepRun(Run):
    """A run whose work is allowed by the sweeper's lease and bounded by patience.

    ``source`` is the old collection and ``target`` the one that is live since.
    """

    #: Under which name it holds the lease.
    sweeper: str = ""
    patient_until: float = 0.0

    def must_go_on(self) -> None:
        """Raises Superseded when the bot has moved on, SweepPostponed when nothing moves."""
        self.beat.must_go_on()
        if self.services.clock.monotonic() > self.patient_until:
            raise SweepPostponed

    def got_on(self) -> None:
        self.patient_until = self.services.clock.monotonic() + PATIENCE_SECONDS


def sweep_when_due(services: Services, migration: Migration) -> SweepResult | None:
    """The sweep that is due now; one that does not get through is due again soon.

    Raises:
        Superseded, PermanentError: as :func:`sweep`.
    """
    try:
        return sweep(services, migration)
    except TransientError as error:
        log.warning("sweep_postponed", migration_id=str(migration.id), reason=error.message)
        soon = services.settings.sweep_first_seconds
        services.store.due_again(Due.SWEEP, migration.id, soon)
        return None


def sweep(services: Services, migration: Migration, by: UUID | None = None) -> SweepResult:
    """Look once through the collection that ``migration`` left behind.

    And, where texts are looked up, for those that have changed in the live collection.

    ``by`` is the reverse run that is about to overwrite that collection; while one
    lives, nobody else may sweep.

    Raises:
        Superseded: the bot has switched again, or is being rolled back.
        SweepPostponed: another sweep is at it, or Milvus or the provider does not answer.
        PermanentError: the live model cannot be used.
    """
    with _sweeping(services, migration, by) as run:
        for name in (run.source.name, run.target.name):
            make_readable(run, name)
        result = SweepResult(compared=False)
        if by is None:
            mend_what_came_back(run)
            result.applied += embed_changed_texts(run, run.got_on)
        changed: list[SnapshotPart] = []
        for part, chunks in parts_as_of(run, run.services.vectors.moment()):
            result.compared = True
            changed += _sweep_part(run, part, chunks, result, last_chance=by is not None)
            if len(changed) >= PARTS_PER_FLUSH:
                _leave_behind(run, changed)
                changed = []
        _leave_behind(run, changed)
        if not result.compared and by is None:
            _take_first_snapshot(run)
        services.store.forget_written(migration.id, older_than_seconds=REMEMBERED_SECONDS)
    log.info("swept", migration_id=str(migration.id), **vars(result))
    return result


def sweep_before_overwriting(run: Run, undone: Migration) -> None:
    """The last sweep of the migration that the reverse run ``run`` takes back, once.

    Afterwards the old collection is written to by ``run``, whose writes no sweep
    could tell from late writes: so its snapshot goes, and a repetition does nothing.
    """
    store = run.services.store
    if store.snapshot_part(undone.id, 0) is None:
        return
    run.patiently(lambda: sweep(run.services, undone, by=run.migration.id))
    store.forget_snapshot(undone.id)


@contextmanager
def _sweeping(services: Services, migration: Migration, by: UUID | None) -> Iterator[SweepRun]:
    lease = SweeperLease(migration.id, by)
    taken = SweepPostponed("Another sweep is at it; it is tried again.")
    with leases.holding(services, lease, taken=taken) as (sweeper, beat):
        bot = services.store.bot(migration.bot_id)
        run = SweepRun(services, migration, bot, beat, sweeper=sweeper)
        run.got_on()
        yield run


def _take_first_snapshot(run: SweepRun) -> None:
    """The old collection as it is: from here on late writes can be told."""
    flush(run, run.source.name, Because.ITS_SNAPSHOT_IS_TAKEN)
    number, after = 0, None
    for page in run.services.vectors.scan(run.source, page_size=PAGE_SIZE):
        run.must_go_on()
        within = KeyRange(after, page[-1].key)
        run.services.store.replace_part(
            run.migration.id, run.sweeper, snapshot_of(number, within, page)
        )
        number, after = number + 1, within.upto
        run.got_on()
    beyond = snapshot_of(number, KeyRange(after, None), [])
    run.services.store.replace_part(run.migration.id, run.sweeper, beyond)


@dataclass
class LateWrites:
    """What differs in one part between the old collection and its snapshot."""

    #: (chunk of the old collection, its state in the snapshot or None when it is new)
    written: list[tuple[Chunk, bytes | None]] = field(default_factory=list)
    #: {hash of the key: state in the snapshot}
    gone: dict[bytes, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.written) + len(self.gone)


def late_writes(part: SnapshotPart, now: Sequence[Chunk]) -> LateWrites:
    """Compare the snapshot with all chunks that its range holds now."""
    found = LateWrites(gone=part.by_key_hash())
    for chunk in now:
        before = found.gone.pop(key_hash(chunk.key), None)
        if before != state_hash(chunk):
            found.written.append((chunk, before))
    return found


def _sweep_part(
    run: SweepRun,
    part: SnapshotPart,
    chunks: Sequence[Chunk],
    result: SweepResult,
    *,
    last_chance: bool,
) -> list[SnapshotPart]:
    """Forward its late writes; the part as it was read, none when it had not changed."""
    run.must_go_on()
    found = late_writes(part, chunks)
    changed = []
    if len(found):
        result.found += len(found)
        failpoint("sweep.before_apply", migration_id=run.migration.id, part=part.number)
        _forward(run, found.written, result, last_chance=last_chance)
        _forward_deletions(run, part, found.gone, result)
        changed = [snapshot_of(part.number, part.within, chunks)]
    run.got_on()
    return changed


def _leave_behind(run: SweepRun, changed: Sequence[SnapshotPart]) -> None:
    """Their snapshots may lag what was forwarded and would survive a crash, never lead it."""
    if not changed:
        return
    for name in (run.target.name, run.source.name):
        flush(run, name, Because.LATE_WRITES_WERE_FORWARDED)
    failpoint("sweep.before_replacing", migration_id=run.migration.id, parts=len(changed))
    for part in changed:
        run.services.store.replace_part(run.migration.id, run.sweeper, part)
    run.got_on()


def _forward(
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
    return outcome


def _still_open(
    run: SweepRun, written: Sequence[tuple[Chunk, bytes | None]], result: SweepResult
) -> tuple[list[tuple[Chunk, bytes | None]], dict[Key, Chunk]]:
    """Those that the live collection neither has already nor has something newer for."""
    fetched = run.services.vectors.fetch(run.target, [chunk.key for chunk, _ in written])
    theirs = {chunk.key: chunk for chunk in fetched}
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
    return before == content_hash(live)


def _left_out(run: Run) -> set[str]:
    store, migration_id = run.services.store, run.migration.id
    count = store.count_failed_chunks(migration_id)
    return {chunk.key for chunk in store.failed_chunks(migration_id, count)} if count else set()


def _forward_deletions(
    run: SweepRun, part: SnapshotPart, gone: dict[bytes, bytes], result: SweepResult
) -> None:
    """The snapshot knows hashes of keys only; the keys themselves are in the live collection."""
    if not gone:
        return
    doomed: dict[Key, Chunk] = {}
    kept: list[Conflict] = []
    pages = run.services.vectors.scan_rows(run.target, part.within, page_size=PAGE_SIZE)
    for page in pages:
        for chunk in page:
            before = gone.get(key_hash(chunk.key))
            if before == content_hash(chunk):
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
