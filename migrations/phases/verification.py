"""Phase 5: does the target hold what the source holds, and does it answer as well?"""

from __future__ import annotations

from dataclasses import replace

from migrations.model.errors import VerificationFailed
from migrations.model.outcomes import Verified
from migrations.model.report import Report
from migrations.proof.golden import judge_golden
from migrations.proof.neighbourhoods import judge_neighbourhoods
from migrations.proof.parts import judge_parts
from migrations.proof.questions import ask_with_stored
from migrations.proof.retrieval import judge_retrieval
from migrations.proof.right_vectors import judge_vectors, sample_chunks
from migrations.proof.same_content import compare_content, judge_content
from migrations.proof.same_schema import judge_schema
from migrations.proof.slices import judge_slices
from migrations.run.run import Run
from migrations.run.trust import Because, flush, flush_meanwhile
from migrations.target.ready import judge_ready, make_target_readable
from migrations.telling.hooks import ask_hooks


def execute(run: Run) -> Verified:
    """Compare all keys and content, embed a sample again, ask both collections; then the hooks.

    Raises:
        VerificationFailed: with one sentence per check that failed.
    """
    verified = _verify(run)
    ask_hooks(run.services, run.migration, verified.report, run.wait)
    return replace(verified, warnings=[check.message for check in verified.report.warnings])


def _verify(run: Run) -> Verified:
    report = Report()
    if not run.migration.config.verify_migration:
        report.add("skipped", False, "Verification was skipped as asked.", severity="warning")
        return _verified(report)
    target, vectors = run.migration.target_collection, run.services.vectors
    if vectors.is_flushed_before_read():
        run.patiently(lambda: flush(run, target, Because.IT_IS_SLOW_TO_READ_OTHERWISE))
    make_target_readable(run)
    found = run.patiently(lambda: compare_content(run))
    # No earlier: Milvus begins to build the index then, and comparing would compete with it.
    why = Because.IT_WAS_CAUGHT_UP
    wait_for_flush = flush_meanwhile(run, why, target, run.source.name)
    if found.in_target > run.services.settings.unindexed_rows:
        wait_for_flush()  # only what is flushed is going to be in the index
    run.patiently(lambda: judge_ready(run, report))
    run.patiently(lambda: judge_schema(run, report))
    at_random = set(found.sample.keys)
    keys = [*found.sample.keys, *found.keys_of_slices]
    sample = run.patiently(lambda: sample_chunks(run, keys, found.as_of))
    again = judge_vectors(run, sample, at_random, report)
    pairs = run.patiently(lambda: ask_with_stored(run, sample, found.as_of))
    chosen = [pair for pair in pairs if pair.key in at_random]
    judge_neighbourhoods(run, chosen, found.source.chunks, report)
    answered = run.patiently(
        lambda: judge_retrieval(run, sample, pairs, again, at_random, found.as_of, report)
    )
    judge_slices(run, found.slices, sample, pairs, answered, report)
    of_all = [chunk for chunk in sample if chunk.key in at_random]
    judge_parts(run, of_all, found.source.chunks, found.as_of, report)
    judge_golden(run, found.as_of, report)
    wait_for_flush()
    run.patiently(lambda: judge_content(run, found, report))
    if not report.passed:
        raise VerificationFailed(
            " ".join(check.message for check in report.errors),
            checks=[check.model_dump() for check in report.checks],
        )
    return _verified(report, run.migration.epoch)


def _verified(report: Report, snapshot_in_epoch: int | None = None) -> Verified:
    return Verified(report=report, snapshot_in_epoch=snapshot_in_epoch)


def undo(run: Run) -> None:
    """What it has kept of the source is of no use to anybody else."""
    run.services.store.forget_snapshot(run.migration.id)
