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

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from migrations.copying.comparison import PAGE_SIZE, keys_left_out
from migrations.copying.lasting import REMEMBERED_SECONDS, mend_what_came_back
from migrations.copying.snapshots import PARTS_PER_FLUSH, parts_as_of
from migrations.model.chunks import Chunk, KeyRange
from migrations.model.errors import SweepPostponed, TransientError
from migrations.model.runs import Due, Migration, SweeperLease
from migrations.model.snapshot import SnapshotPart, key_hash, snapshot_of, state_hash
from migrations.process import leases
from migrations.process.failpoints import failpoint
from migrations.process.services import Services
from migrations.run.run import Run
from migrations.run.trust import Because, flush
from migrations.target.ready import make_readable
from migrations.way_back.changed_texts import embed_changed_texts
from migrations.way_back.forwarding import forward, forward_deletions
from migrations.way_back.sweep_run import SweepResult, SweepRun

log = structlog.get_logger(__name__)


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


def sweep(
    services: Services,
    migration: Migration,
    by: UUID | None = None,
    tell: Callable[[int], None] | None = None,
) -> SweepResult:
    """Look once through the collection that ``migration`` left behind.

    And, where texts are looked up, for those that have changed in the live collection.

    ``by`` is the reverse run that is about to overwrite that collection; while one
    lives, nobody else may sweep. Where somebody waits for it, ``tell`` is called with the number
    of late writes that are still to be dealt with; they are counted first.

    Raises:
        Superseded: the bot has switched again, or is being rolled back.
        PutDown: somebody waits for it, and this worker is ending.
        SweepPostponed: another sweep is at it, or Milvus or the provider does not answer.
        PermanentError: the live model cannot be used.
    """
    with _sweeping(services, migration, by) as run:
        for name in (run.source.name, run.target.name):
            make_readable(run, name)
        result = SweepResult(compared=False)
        if by is None and tell is None:  # notes of a worker that died are of what it did not write
            mend_what_came_back(run)
            result.applied += embed_changed_texts(run, run.got_on)
        changed: list[SnapshotPart] = []
        to_come = 0
        if tell is not None:
            run.is_phase = True
            tell(to_come := _count(run))
        last: SnapshotPart | None = None
        for part, chunks in parts_as_of(run, run.services.vectors.moment()):
            last, found_before = part, result.found
            changed += _sweep_part(run, part, chunks, result, last_chance=by is not None)
            if tell is not None and result.found > found_before:
                tell(max(0, to_come - result.found))
            if len(changed) >= PARTS_PER_FLUSH:
                _leave_behind(run, changed)
                changed = []
        _leave_behind(run, changed)
        result.compared = last is not None and last.within.upto is None
        if not result.compared and by is None:
            _take_snapshot(run, last)
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


def _count(run: SweepRun) -> int:
    """The late writes there are."""
    found = 0
    for part, chunks in parts_as_of(run, run.services.vectors.moment()):
        run.must_go_on()
        found += len(_late_writes(run, part, chunks))
        run.got_on()
    return found


def _take_snapshot(run: SweepRun, last: SnapshotPart | None) -> None:
    """The old collection as it is, beyond ``last``: from here on late writes can be told."""
    flush(run, run.source.name, Because.ITS_SNAPSHOT_IS_TAKEN)
    number, after = (last.number + 1, last.within.upto) if last else (0, None)
    for page in run.services.vectors.scan(run.source, KeyRange(after), page_size=PAGE_SIZE):
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


def _late_writes(run: SweepRun, part: SnapshotPart, now: Sequence[Chunk]) -> LateWrites:
    """Without what the run that is taken back has left out, where its snapshot was taken over."""
    found = late_writes(part, now)
    if found.gone and run.migration.switches_first:
        as_key = str if run.source.key_is_string else int
        for key in keys_left_out(run):
            found.gone.pop(key_hash(as_key(key)), None)
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
    found = _late_writes(run, part, chunks)
    changed = []
    if len(found):
        result.found += len(found)
        failpoint("sweep.before_apply", migration_id=run.migration.id, part=part.number)
        forward(run, found.written, result, last_chance=last_chance)
        forward_deletions(run, part, found.gone, result)
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
