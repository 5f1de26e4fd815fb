"""The catching up right before the switch, which also freezes what the source held.

Verification has read both collections not long ago. What it found equal is frozen part
by part, so a part of the source that is still what it was needs no second look at the
target: nobody but this run writes to that. Only parts that have changed since, or that
were not equal then, are compared once more. Whether the target still is what it was is
seen by :mod:`migrations.lasting`: what was written is looked at again, and the target
has to count as many rows as were compared, or everything is compared once more.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from migrations.comparison import (
    Difference,
    PassResult,
    catch_up_once,
    differences,
    make_equal,
)
from migrations.lasting import LOOKS, counts_as_compared, lasts
from migrations.model.chunks import Chunk, content_of
from migrations.model.errors import VerificationFailed
from migrations.model.snapshot import FrozenPart, frozen
from migrations.model.states import Kind
from migrations.ports.vector_store import Moment
from migrations.run.run import Run
from migrations.sweeps import PARTS_PER_FLUSH, parts_as_of, recorder

log = structlog.get_logger(__name__)

#: In a migration's totals: the epoch in which verification has frozen the source. A later
#: epoch may have a stopped worker's late write to the target behind it.
FROZEN_IN_EPOCH = "frozen_in_epoch"


def freeze_as_verified(run: Run, number: int, difference: Difference) -> None:
    """Keep a part that verification has looked at; one that was not equal, as if it were empty."""
    page = () if difference.size else difference.page
    part = frozen(number, difference.within, page)
    run.services.store.freeze(run.migration.id, run.migration.epoch, part)


def catch_up_last(run: Run) -> PassResult:
    """Make the target equal to the source, and freeze the source as it was read for that.

    On return the target was found to hold what was written to it, and as many rows as
    were compared; and both would survive a crash of Milvus: what is live from now on, and
    what the source's later content is compared with, lest a loss look like a deletion.

    Raises:
        VerificationFailed: the target does not stay as it was written.
    """
    # Verification has flushed both after it had read them.
    is_verified = run.migration.totals.get(FROZEN_IN_EPOCH) == run.migration.epoch
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
    vectors = run.services.vectors
    vectors.flush(run.source.name)
    result = catch_up_once(run, recorder)
    run.services.store.end_freezing(run.migration.id, run.migration.epoch, result.parts)
    vectors.flush(run.target.name)
    return result


def _catch_up_changed_parts(run: Run) -> PassResult:
    result, changed = PassResult(), 0
    caught_up: list[FrozenPart] = []
    now = run.services.vectors.moment()
    for part, chunks in parts_as_of(run, now):
        run.check()
        if chunks and frozen(part.number, part.within, chunks) == part:
            result.source += content_of(chunks)
            result.in_target += len(chunks)
        else:
            is_beyond = not chunks and part.within.upto is None  # empty, as it was
            if not is_beyond and not changed:
                run.services.vectors.flush(run.source.name)
            changed += not is_beyond
            caught_up.append(_catch_up_part(run, part, now, result))
        result.parts += 1
        if len(caught_up) >= PARTS_PER_FLUSH:
            _freeze(run, caught_up, result)
            caught_up = []
    _freeze(run, caught_up, result)
    log.info("last_catch_up_ended", parts=result.parts, compared=changed, changes=result.changes)
    return result


def _catch_up_part(run: Run, part: FrozenPart, now: Moment, result: PassResult) -> FrozenPart:
    chunks: list[Chunk] = []
    for difference in differences(run, part.within, as_of=now):
        make_equal(run, difference, result)
        chunks += difference.page
    return frozen(part.number, part.within, chunks)


def _freeze(run: Run, caught_up: Sequence[FrozenPart], result: PassResult) -> None:
    """A part that is frozen is not looked at again: what it took must be durable first."""
    if result.changes:
        run.services.vectors.flush(run.target.name)
    for part in caught_up:
        run.services.store.freeze(run.migration.id, run.migration.epoch, part)
