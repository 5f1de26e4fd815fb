"""Phase 5: does the target hold what the source holds, and does it answer as well?"""

from __future__ import annotations

from typing import Any

from migrations.copying.catch_up import FROZEN_IN_EPOCH
from migrations.model.errors import VerificationFailed
from migrations.model.report import Report
from migrations.proof.retrieval import check_retrieval
from migrations.proof.right_vectors import check_vectors, sample_chunks
from migrations.proof.same_content import check_content, compare_content
from migrations.run.run import Run
from migrations.target.ready import check_target_ready, flush_meanwhile, make_target_readable


def execute(run: Run) -> dict[str, Any]:
    """Compare all keys and content, embed a sample again, ask both collections.

    Raises:
        VerificationFailed: with one sentence per check that failed.
    """
    report = Report()
    if not run.migration.config.verify_migration:
        report.add("skipped", False, "Verification was skipped as asked.", severity="warning")
        return _found(report)
    target, vectors = run.migration.target_collection, run.services.vectors
    if vectors.is_flushed_before_read():
        run.patiently(lambda: vectors.flush(target))
    make_target_readable(run)
    found = run.patiently(lambda: compare_content(run))
    # No earlier: Milvus begins to build the index then, and comparing would compete with it.
    wait_for_flush = flush_meanwhile(run, target, run.source.name)
    if found.in_target > run.services.settings.unindexed_rows:
        wait_for_flush()  # only what is flushed is going to be in the index
    run.patiently(lambda: check_target_ready(run, report))
    sample = run.patiently(lambda: sample_chunks(run, found.sample.keys, found.as_of))
    again = check_vectors(run, sample, report)
    run.patiently(lambda: check_retrieval(run, sample, again, found.as_of, report))
    wait_for_flush()
    run.patiently(lambda: check_content(run, found, report))
    if not report.passed:
        raise VerificationFailed(
            " ".join(check.message for check in report.errors),
            checks=[check.model_dump() for check in report.checks],
        )
    return {**_found(report), "totals": {FROZEN_IN_EPOCH: run.migration.epoch}}


def _found(report: Report) -> dict[str, Any]:
    return {
        "verification": report.model_dump(),
        "warnings": [check.message for check in report.warnings],
    }


def undo(run: Run) -> None:
    """What it has kept of the source is of no use to anybody else."""
    run.services.store.forget_frozen(run.migration.id)
