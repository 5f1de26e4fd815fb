"""Phase 4: cut the key space into batches, embed them in waves, then catch up.

``execute`` plans and opens the first waves; the last wave's advance starts
``catch_up``, which completes the phase. Borders are stored, never only an
index: cutting again would give other borders and lose chunks between them.
"""

from __future__ import annotations

from migrations.copying.backfill import await_earlier_batches, open_lanes, plan_batches
from migrations.copying.catch_up import catch_up_until_quiet, judge_failures
from migrations.copying.comparison import PassResult
from migrations.lifecycle.pausing import has_just_resumed
from migrations.model import messages
from migrations.model.outcomes import Moved
from migrations.model.runs import Step
from migrations.model.states import Kind
from migrations.process.failpoints import failpoint
from migrations.run.run import Run
from migrations.run.trust import as_batches_read, lacks_rows, target_may_hold_chunks
from migrations.target.ready import make_readable, make_target_readable
from migrations.way_back.late_writes import sweep_before_overwriting


def execute(run: Run) -> None:
    """Plan what is not planned yet and open the waves, or go straight to catching up."""
    migration, store = run.migration, run.services.store
    follow_up = messages.catch_up(migration.id, migration.epoch)
    if migration.kind is Kind.REVERSE:  # the target holds nearly everything already
        store.take_step(migration.id, migration.epoch, Step.CATCHING_UP, follow_up)
        return
    if has_just_resumed(migration):
        await_earlier_batches(run)
    plan = run.services.checkpoints.plan(migration.id)
    if plan is None or not plan.complete:
        store.take_step(migration.id, migration.epoch, Step.PLANNING)
        plan = plan_batches(run)
    totals = {"total_chunks": plan.total_chunks, "total_batches": plan.total_batches}
    store.note(migration.id, migration.epoch, totals=totals)
    if target_may_hold_chunks(run):  # batches look into it; a batch's lease is shorter than loading
        run.patiently(lambda: make_readable(run, migration.target_collection))
    store.take_step(migration.id, migration.epoch, Step.BACKFILLING)
    failpoint("data_migration.planned", migration_id=migration.id)
    open_lanes(run, plan)


def catch_up(run: Run) -> Moved:
    """See that the target holds what the source holds now.

    Raises:
        TooManyFailedChunks: more are missing than ``max_failed_ratio`` allows.
    """
    read = as_batches_read(run)
    result, changes, warnings = (PassResult(read), 0, []) if read else _compared(run)
    failed = judge_failures(run, result)
    stored = result.source.chunks - failed
    return Moved(
        source=result.source,
        failed_chunks=failed,
        may_lack_rows=read is not None or lacks_rows(run, stored),
        caught_up=changes,
        remaining=result.changes,
        warnings=warnings,
    )


def _compared(run: Run) -> tuple[PassResult, int, list[str]]:
    make_target_readable(run)
    if run.migration.reverses is not None:
        sweep_before_overwriting(run, run.services.store.migration(run.migration.reverses))
    return catch_up_until_quiet(run)


def undo(run: Run) -> None:
    """The rows go with the target; the checkpoints and the notes of catching up go here."""
    run.services.checkpoints.forget(run.migration.id)
    run.services.store.forget_written(run.migration.id)
