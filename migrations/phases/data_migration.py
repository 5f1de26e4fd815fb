"""Phase 4: cut the key space into batches, embed them in waves, then catch up.

``run`` plans and opens the first waves; the last wave's advance starts
``catch_up``, which completes the phase. Borders are stored, never only an
index: cutting again would give other borders and lose chunks between them.
"""

from __future__ import annotations

from typing import Any

import structlog

from migrations.comparison import PassResult, catch_up_once
from migrations.model import messages
from migrations.model.chunks import Content, Key
from migrations.model.errors import CheckpointsLost, CheckpointsUnavailable, TooManyFailedChunks
from migrations.model.runs import Step
from migrations.model.states import Kind
from migrations.ports.checkpoints import Plan
from migrations.process.failpoints import failpoint
from migrations.run.content import content_lately
from migrations.run.run import Run
from migrations.sweeps import sweep_before_overwriting
from migrations.target.ready import MAY_LACK_ROWS, make_readable, make_target_readable
from migrations.waves import open_lanes

log = structlog.get_logger(__name__)


def run(run: Run) -> dict[str, Any]:
    """Plan what is not planned yet and open the waves, or go straight to catching up."""
    migration, store = run.migration, run.services.store
    follow_up = messages.catch_up(migration.id, migration.epoch)
    if migration.kind is Kind.REVERSE:  # the target holds nearly everything already
        store.take_step(migration.id, migration.epoch, Step.CATCHING_UP, follow_up)
        return {}
    plan = run.services.checkpoints.plan(migration.id)
    if plan is None or not plan.complete:
        store.take_step(migration.id, migration.epoch, Step.PLANNING)
        plan = _plan(run)
    totals = {"total_chunks": plan.total_chunks, "total_batches": plan.total_batches}
    store.note(migration.id, migration.epoch, totals=totals)
    if run.target_may_hold_chunks:  # batches look into it; a batch's lease is shorter than loading
        run.patiently(lambda: make_readable(run, migration.target_collection))
    store.take_step(migration.id, migration.epoch, Step.BACKFILLING)
    failpoint("data_migration.planned", migration_id=migration.id)
    open_lanes(run, plan)
    return {}


def _plan(run: Run) -> Plan:
    """Cut the keys of two seconds ago into ranges of ``batch_size``; later keys are caught up."""
    checkpoints, migration_id = run.services.checkpoints, run.migration.id
    size = run.migration.config.batch_size
    checkpoints.start_plan(migration_id, size)
    waiting: list[Key] = []
    vectors = run.services.vectors
    for page in vectors.scan_keys(run.source, as_of=vectors.lately()):
        run.check()
        waiting += page
        whole = len(waiting) - len(waiting) % size
        if whole:
            checkpoints.append_borders(migration_id, waiting[size - 1 : whole : size], whole)
            waiting = waiting[whole:]
    if waiting:
        checkpoints.append_borders(migration_id, [waiting[-1]], len(waiting))
    return checkpoints.seal_plan(migration_id)


def catch_up(run: Run) -> dict[str, Any]:
    """See that the target holds what the source holds now.

    Raises:
        TooManyFailedChunks: more are missing than ``max_failed_ratio`` allows.
    """
    read = _still_as_read(run)
    result, warnings = (PassResult(read), []) if read else _compare_until_quiet(run)
    failed = judge_failures(run, result)
    totals = {
        "total_chunks": result.source.chunks,
        "processed_chunks": result.source.chunks - failed,
        "failed_chunks": failed,
        # Tells verification whether somebody has written since.
        "source_digest": result.source.digest,
        MAY_LACK_ROWS: int(read is not None or _lacks_rows(run, result)),
    }
    return {"totals": totals, "warnings": warnings}


def _still_as_read(run: Run) -> Content | None:
    """What the source holds, when that is what the batches have read and stored.

    Then nobody has written to it since, and comparing would find nothing unless Milvus has
    lost something; verification compares and flushes at the same time, and sees that, and
    what was written in the last two seconds. None when somebody has written, when a chunk
    was refused, or when it cannot be told: the target held something before the batches,
    or got something from a worker of an earlier epoch.
    """
    migration, store = run.migration, run.services.store
    if migration.kind is Kind.REVERSE or run.target_may_hold_chunks:
        return None
    if not migration.config.verify_migration or store.count_failed_chunks(migration.id):
        return None
    try:
        read = run.services.checkpoints.content_read(migration.id)
    except (CheckpointsLost, CheckpointsUnavailable):
        return None
    vectors = run.services.vectors
    lately = run.patiently(lambda: content_lately(vectors, run.source, run.check))
    return read if lately == read else None


def _compare_until_quiet(run: Run) -> tuple[PassResult, list[str]]:
    """The last pass, and a warning when it was not quiet.

    A pass finds what was written during the one before. With writers who never pause the
    passes soon take equally long, and another one gains nothing: verification and the
    catching up before the switch look again.
    """
    settings, vectors = run.services.settings, run.services.vectors
    make_target_readable(run)
    # What is found equal from here on would survive a crash of Milvus.
    run.patiently(lambda: vectors.flush(run.target.name))
    if run.migration.reverses is not None:
        undone = run.services.store.migration(run.migration.reverses)
        sweep_before_overwriting(run, undone)
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
        run.patiently(lambda: vectors.flush(run.target.name))
    if is_quiet:
        return result, []
    warning = (
        f"Writers did not pause in {len(changes)} catch-up passes; "
        f"the last one still applied {result.changes} changes."
    )
    return result, [warning]


def _lacks_rows(run: Run, last: PassResult) -> bool:
    """Whether a crash of Milvus took some between being stored and being flushed."""
    counted = run.patiently(lambda: run.services.vectors.count(run.target.name))
    return counted < last.source.chunks - len(last.refused)


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


def undo(run: Run) -> None:
    """The rows go with the target; the checkpoints and the notes of catching up go here."""
    run.services.checkpoints.forget(run.migration.id)
    run.services.store.forget_written(run.migration.id)
