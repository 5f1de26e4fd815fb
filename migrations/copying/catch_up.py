"""Catching up: until the target holds what the source holds, and once more before the switch.

Verification has read both collections not long before the switch. What it found equal is
kept part by part, so a part of the source that is still what it was needs no second look at
the target: nobody but this run writes to that. Only parts that have changed since, or that
were not equal then, are compared once more. Whether the target still is what it was is seen
by :mod:`migrations.copying.lasting`: what was written is looked at again, and the target has
to count as many rows as were compared, or everything is compared once more.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from migrations.copying.comparison import PassResult, catch_up_once, differences, make_equal
from migrations.copying.lasting import LOOKS, counts_as_compared, lasts
from migrations.copying.snapshots import PARTS_PER_FLUSH, parts_as_of, recorder
from migrations.model.chunks import Chunk, content_of
from migrations.model.errors import TooManyFailedChunks, VerificationFailed
from migrations.model.snapshot import SnapshotPart, snapshot_of
from migrations.model.states import Kind
from migrations.ports.vector_store import Moment
from migrations.process.failpoints import failpoint
from migrations.run.run import Run
from migrations.run.trust import Because, flush, is_snapshot_of_this_epoch

log = structlog.get_logger(__name__)


def catch_up_until_quiet(run: Run) -> tuple[PassResult, int, list[str]]:
    """The last pass, the changes of all, and a warning when it was not quiet.

    A pass finds what was written during the one before. With writers who never pause the
    passes soon take equally long, and another one gains nothing: verification and the
    catching up before the switch look again.
    """
    settings, target = run.services.settings, run.target.name
    run.patiently(lambda: flush(run, target, Because.IT_IS_ABOUT_TO_BE_COMPARED))
    changes: list[int] = []
    while len(changes) < settings.catch_up_max_passes:
        result = run.patiently(lambda: catch_up_once(run))
        failpoint("data_migration.after_catch_up_pass", migration_id=run.migration.id)
        changes.append(result.changes)
        is_quiet = result.changes <= settings.catch_up_quiet_chunks
        is_shorter = len(changes) == 1 or changes[-1] <= changes[-2] / 2
        if is_quiet or not is_shorter:
            break
    if any(changes):  # once for all passes: it takes seconds, in which the writers go on
        run.patiently(lambda: flush(run, target, Because.IT_WAS_CAUGHT_UP))
    if is_quiet:
        return result, sum(changes), []
    warning = (
        f"Writers did not pause in {len(changes)} catch-up passes; "
        f"the last one still applied {result.changes} changes."
    )
    return result, sum(changes), [warning]


def judge_failures(run: Run, last: PassResult) -> int:
    """The number of chunks that ``last`` left out; failures it did not meet again are over.

    Raises:
        TooManyFailedChunks: more are missing than ``max_failed_ratio`` allows.
    """
    store, migration_id = run.services.store, run.migration.id
    recorded = store.failed_chunks(migration_id, store.count_failed_chunks(migration_id))
    over = [chunk.key for chunk in recorded if chunk.key not in last.refused]
    store.resolve_failed_chunks(migration_id, over)
    failed, allowed = len(last.refused), run.migration.config.max_failed_ratio
    chunks = last.source.chunks
    if failed > allowed * chunks:
        raise TooManyFailedChunks(
            f"{failed} of {chunks} chunks could not be embedded; max_failed_ratio allows "
            f"{allowed:.2%}. Mend or delete them, or allow more, and start again.",
            failed=[vars(c) for c in store.failed_chunks(migration_id, 20)],
        )
    return failed


def catch_up_last(run: Run) -> PassResult:
    """Make the target equal to the source, and keep the source as it was read for that.

    On return the target was found to hold what was written to it, and as many rows as
    were compared; and both would survive a crash of Milvus: what is live from now on, and
    what the source's later content is compared with, lest a loss look like a deletion.

    Raises:
        VerificationFailed: the target does not stay as it was written.
    """
    # Verification has flushed both after it had read them.
    is_verified = is_snapshot_of_this_epoch(run)
    result = _catch_up_changed_parts(run) if is_verified else _catch_up_all(run)
    for _ in range(LOOKS):
        if lasts(run, result) and counts_as_compared(run, result):
            return result
        result = _catch_up_all(run)
    if run.migration.kind is Kind.REVERSE:  # its writers still know the old collection's name
        log.warning("switching_beside_writers", collection=run.target.name)
        return result
    raise VerificationFailed(
        "The new collection does not stay as it was written and compared, however often that is "
        "done; switching would leave other content than was verified."
    )


def _catch_up_all(run: Run) -> PassResult:
    flush(run, run.source.name, Because.ITS_SNAPSHOT_IS_TAKEN)
    result = catch_up_once(run, recorder)
    run.services.store.end_snapshot(run.migration.id, run.migration.epoch, result.parts)
    flush(run, run.target.name, Because.IT_WAS_CAUGHT_UP)
    return result


def _catch_up_changed_parts(run: Run) -> PassResult:
    result, changed = PassResult(), 0
    caught_up: list[SnapshotPart] = []
    now = run.services.vectors.moment()
    for part, chunks in parts_as_of(run, now):
        run.must_go_on()
        if chunks and snapshot_of(part.number, part.within, chunks) == part:
            result.source += content_of(chunks)
            result.in_target += len(chunks)
        else:
            is_beyond = not chunks and part.within.upto is None  # empty, as it was
            if not is_beyond and not changed:
                flush(run, run.source.name, Because.ITS_SNAPSHOT_IS_TAKEN)
            changed += not is_beyond
            caught_up.append(_catch_up_part(run, part, now, result))
        result.parts += 1
        if len(caught_up) >= PARTS_PER_FLUSH:
            _keep_parts(run, caught_up, result)
            caught_up = []
    _keep_parts(run, caught_up, result)
    log.info("last_catch_up_ended", parts=result.parts, compared=changed, changes=result.changes)
    return result


def _catch_up_part(run: Run, part: SnapshotPart, now: Moment, result: PassResult) -> SnapshotPart:
    chunks: list[Chunk] = []
    for difference in differences(run, part.within, as_of=now):
        make_equal(run, difference, result)
        chunks += difference.page
    return snapshot_of(part.number, part.within, chunks)


def _keep_parts(run: Run, caught_up: Sequence[SnapshotPart], result: PassResult) -> None:
    """A part that is kept is not looked at again: what it took must be durable first."""
    if result.changes:
        flush(run, run.target.name, Because.IT_WAS_CAUGHT_UP)
    for part in caught_up:
        run.services.store.keep_part(run.migration.id, run.migration.epoch, part)
