"""Verification, level one: the same keys with the same content on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import structlog

from migrations.copying.comparison import catch_up_once, differences
from migrations.copying.difference import Difference
from migrations.copying.lasting import LOOKS
from migrations.copying.snapshots import keep_as_verified
from migrations.model.chunks import Content, Key
from migrations.model.given_keys import is_stranger
from migrations.model.report import Report
from migrations.ports.vector_store import Moment
from migrations.proof.duplicate_keys import report_duplicates
from migrations.proof.right_vectors import KeySample
from migrations.proof.slices import Slices
from migrations.run.run import Run
from migrations.run.trust import Because, flush, is_written_to

log = structlog.get_logger(__name__)

#: Keys that differ and are looked at again; a few megabytes. Of any more the next look takes
#: them for written meanwhile, and the catching up before the switch makes them equal.
MOST_REMEMBERED = 20_000

#: Keys that differ, each with the digest of its row in the source; None where there is none.
Differing = Mapping[Key, bytes | None]


def compare_content(run: Run) -> Findings:
    """Compare every key and every non-vector field of both sides, and keep what is equal.

    Where the source has been written to since the last catching up, what differs is caught
    up and looked at again: what then differs as it did before is a fault, the rest was
    written meanwhile and is left to the catching up before the switch. The same where
    Milvus has lost rows that were not flushed, or has not kept what catching up wrote.
    """
    if run.has_stored:  # an attempt that failed after it had caught up
        flush(run, run.target.name, Because.IT_WAS_CAUGHT_UP)
    found = _look(run)
    if (not found.same and _may_differ(run, found)) or _is_lossy(run, found):
        found = _caught_up(run, found)
    return found


def _may_differ(run: Run, found: Findings) -> bool:
    """Somebody has written, or what differs is nobody's wish, or catching up had written it.

    Nobody wishes that a key stands twice in the target, nor for a row that a worker of before
    has inserted too late; and what catching up wrote did not last then. All of it is put right
    once more, and looked at again.
    """
    if is_written_to(run, found.source) or found.differing.keys() <= found.unwanted:
        return True
    written = run.services.store.written_rows(run.migration.id, MOST_REMEMBERED)
    return bool(written) and found.differing.keys() <= {row.key for row in written}


def judge_content(run: Run, found: Findings, report: Report) -> None:
    """Say what was found, once the target is flushed, and that it still counts as many.

    Chunks recorded as failed are missing by permission (max_failed_ratio).
    """
    counted = _count(run, found)
    if _is_lossy(run, found, counted):
        found = _caught_up(run, found)
        counted = _count(run, found)
    _report(report, found, counted)
    if found.duplicates:
        report_duplicates(report, found.duplicates, run.migration.config.duplicate_keys)


def _count(run: Run, found: Findings) -> int:
    """The target's rows now: all that were there when it was read and are not lost since."""
    return run.services.vectors.count(run.target.name, as_of=found.as_of)


def _caught_up(run: Run, found: Findings) -> Findings:
    """A pass that wrote proves nothing: both are looked at again until nothing stays different."""
    for _ in range(LOOKS):
        catch_up_once(run)
        flush(run, run.target.name, Because.IT_WAS_CAUGHT_UP)
        found = _look(run, before=found.differing)
        if found.same:
            break
    return found


def _is_lossy(run: Run, found: Findings, counted: int | None = None) -> bool:
    """Whether Milvus has lost rows that it had acknowledged before they were flushed.

    They are missing, or were read and went before the flush had ended. The target is
    counted only if it has not been, and where a loss is possible.
    """
    if not run.migration.handover.may_lack_rows or found.changed or found.extra:
        return False
    if counted is None:
        counted = _count(run, found)
    lost = max(0, found.missing - found.permitted) + found.in_target - counted
    if lost <= 0:
        return False
    log.warning("rows_lost_by_milvus", collection=run.target.name, rows=lost)
    return True


def _report(report: Report, found: Findings, counted: int) -> None:
    report.add(
        "target_count",
        counted == found.in_target,
        f"The target counts {counted} chunks; reading it found {found.in_target}.",
        counted=counted,
        read=found.in_target,
    )
    report.add(
        "content",
        found.same,
        f"{found.source.chunks} chunks compared: {found.missing} missing, "
        f"{found.changed} different, {found.extra} too many.",
        rows=found.source.chunks,
        missing=found.missing,
        changed=found.changed,
        extra=found.extra,
        written_meanwhile=found.written_meanwhile,
        examples=found.examples,
    )


def _look(run: Run, before: Differing | None = None) -> Findings:
    permitted = run.services.store.count_failed_chunks(run.migration.id)
    is_keyed = run.target.keyed_as is not None
    by = run.migration.config.slice_by
    slices = Slices(by, run.migration.id.int) if by is not None else None
    now = run.services.vectors.moment()
    found = Findings(permitted, KeySample(run), now, before, is_keyed, slices)
    parts = 0
    for number, difference in enumerate(differences(run, as_of=found.as_of)):
        run.must_go_on()
        found.add(difference)
        keep_as_verified(run, number, difference)
        parts = number + 1
    run.services.store.end_snapshot(run.migration.id, run.migration.epoch, parts)
    return found


class Findings:
    """Sums over all differences, in chunks, with a few keys of each as examples.

    ``as_of``: when both sides were read. Later reads of verification take the same
    moment: what was there then is seen, and none waits for Milvus' clock anew.
    ``before``: what differed at the last look; differences that were not there or not
    the same then were written meanwhile and are no fault.
    ``is_keyed``: whether Milvus gives the keys, see :mod:`migrations.copying.keyed`.
    ``slices``: what counts rows by a field's value, where that was asked for.
    ``differing``: what to give the next look as that.
    """

    def __init__(
        self,
        permitted: int,
        sample: KeySample,
        as_of: Moment,
        before: Differing | None = None,
        is_keyed: bool = False,
        slices: Slices | None = None,
    ) -> None:
        self.permitted = permitted
        self.sample = sample
        self.slices = slices
        self.as_of = as_of
        self.missing = self.changed = self.extra = 0
        self.in_target = self.written_meanwhile = 0
        self.source = Content()
        self.differing: dict[Key, bytes | None] = {}
        self.examples: list[str] = []
        #: Keys that stand more than once in the target, or that only Milvus has given there.
        self.unwanted: set[Key] = set()
        #: Keys that stand more than once in the source.
        self.duplicates: list[Key] = []
        self._before = before
        self._is_keyed = is_keyed

    def add(self, difference: Difference) -> None:
        self.source += difference.source
        for chunk in difference.page:
            self.sample.add(chunk.key)
            if self.slices is not None:
                self.slices.add(chunk)
        several = [chunk.key for chunk in difference.page if chunk.rows > 1]
        self.duplicates += several
        one_of_several = set(several)
        changed = [pair for pair in difference.changed if pair[0].key not in one_of_several]
        # Of those another row may have been shown only now: the last catching up carries it.
        self.written_meanwhile += len(difference.changed) - len(changed)
        differing = [*changed, *difference.doubled]
        self.unwanted |= {ours.key for ours, _ in difference.doubled}
        if self._is_keyed:
            self.unwanted |= {row.key for row in difference.extra if is_stranger(row.key)}
        self.in_target += difference.in_target
        self.missing += self._faults({chunk.key: chunk.digest() for chunk in difference.missing})
        self.changed += self._faults({ours.key: ours.digest() for ours, _ in differing})
        self.extra += self._faults({row.key: None for row in difference.extra})

    def _faults(self, differing: Differing) -> int:
        before = differing if self._before is None else self._before
        faults = {key: row for key, row in differing.items() if before.get(key, ...) == row}
        room = MOST_REMEMBERED - len(self.differing)
        self.differing.update(islice(faults.items(), max(0, room)))
        self.written_meanwhile += len(differing) - len(faults)
        self.examples = (self.examples + [str(key) for key in faults])[:10]
        return len(faults)

    @property
    def keys_of_slices(self) -> list[Key]:
        """What is looked at beside the sample."""
        return self.slices.keys_beside(self.sample.keys) if self.slices else []

    @property
    def same(self) -> bool:
        return self.missing <= self.permitted and self.changed == 0 and self.extra == 0
