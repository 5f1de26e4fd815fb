"""Carrying some keys over once more, after everything was compared: quick, for they are few.

Those who write through us are applied to the source while it is compared, and only these keys
can differ afterwards. They are compared again when nothing is applied any more, and the
snapshot of the source is put right, lest what was carried look like a late write.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog

from migrations.copying.comparison import PassResult, apply, difference_of
from migrations.copying.lasting import KEYS_AT_ONCE, LOOKS
from migrations.copying.snapshots import correct_snapshot
from migrations.model.chunks import Chunk, Key
from migrations.model.errors import VerificationFailed
from migrations.process.threads import meanwhile
from migrations.run.run import Run
from migrations.run.trust import Because, flush

log = structlog.get_logger(__name__)


def carry_over(run: Run, keys: Sequence[Key], result: PassResult) -> None:
    """Make the target equal to the source in these keys, as ``result`` then says."""
    for start in range(0, len(keys), KEYS_AT_ONCE):
        _carry_some(run, keys[start : start + KEYS_AT_ONCE], result)


def end_carrying(run: Run, keys: Sequence[Key], result: PassResult) -> None:
    """The same for the last time, of keys that nobody of ours writes any more.

    On return all that was carried would survive a crash of Milvus.

    Raises:
        VerificationFailed: the target does not stay as it was written.
    """
    carry_over(run, keys, result)
    snapshot_is_durable = meanwhile(
        run.services.settings.compare_concurrency,
        partial(flush, run, run.source.name, Because.ITS_SNAPSHOT_IS_TAKEN),
    )
    for _ in range(LOOKS):
        flush(run, run.target.name, Because.IT_WAS_CAUGHT_UP)
        snapshot_is_durable()
        before = result.changes
        carry_over(run, keys, result)
        if result.changes == before:
            return
    raise VerificationFailed(
        "The new collection does not keep what is written to it, however often that is done."
    )


def _carry_some(run: Run, keys: Sequence[Key], result: PassResult) -> None:
    found = difference_of(run, keys)
    if found.size:
        result.refused -= {str(key) for key in keys}
        apply(run, found, result)
        stored = [chunk for chunk in found.page if str(chunk.key) not in result.refused]
        result.in_target += len(stored) + len(found.left_out) - found.in_target
        log.info("carried_over", keys=len(keys), differences=found.size)
    states: dict[Key, Chunk | None] = dict.fromkeys(keys)
    correct_snapshot(run, states | {chunk.key: chunk for chunk in found.page})
