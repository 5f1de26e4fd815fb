"""Phase 1: is everything there that the run needs? Nothing is touched."""

from __future__ import annotations

from migrations.model.agreed import Agreed
from migrations.model.errors import ValidationFailed
from migrations.model.outcomes import Validated
from migrations.model.report import Report
from migrations.model.states import Kind
from migrations.proof.preflight import Haste, examine
from migrations.proof.target_schema import MadeAs
from migrations.run.run import Run


def execute(run: Run) -> Validated:
    """Try both models, the source and the alias.

    A source that is not loaded is loaded: a restarted Milvus may have forgotten it, and
    it is read all through the run.

    Raises:
        ValidationFailed: with one sentence per thing that stands in the way.
    """
    config, is_way_back = run.migration.config, run.migration.kind is Kind.REVERSE
    exam = run.patiently(
        lambda: examine(
            run,
            run.bot,
            config.target,
            agreed=Agreed.by(config, way_back=is_way_back),
            haste=_haste(run),
            beforehand=False,
            made_as=None if run.migration.target_adopted else MadeAs(config.index),
            by=run.migration.requested_by,
        )
    )
    report = exam.report
    if is_way_back:
        _examine_way_back(run, report)
    if not report.passed:
        raise ValidationFailed(
            " ".join(check.message for check in report.errors),
            checks=[check.model_dump() for check in report.checks],
        )
    warnings = [check.message for check in report.warnings]
    return Validated(report=report, proof=exam.proof, warnings=warnings)


def _haste(run: Run) -> Haste | None:
    """None for a run to a target that holds chunks already: how many are left is seen later."""
    config = run.migration.config
    if run.migration.target_adopted:
        return None
    return Haste(config.timeout_seconds, config.batch_size)


def _examine_way_back(run: Run, report: Report) -> None:
    there = run.services.vectors.exists(run.migration.target_collection)
    report.add(
        "previous_collection",
        there,
        f"The previous collection {run.migration.target_collection!r} "
        + ("is there." if there else "is gone; there is nothing to go back to."),
    )


def undo(run: Run) -> None:
    """Nothing was touched; what a killed worker has left of a rehearsal the watchdog drops."""
