"""Phase 3: make the target: the source's schema with another dimension."""

from __future__ import annotations

from contextlib import suppress

import structlog

from migrations.model.errors import (
    ForeignCollection,
    SchemaNotReproduced,
    Superseded,
    VerificationFailed,
)
from migrations.model.outcomes import Outcome
from migrations.model.states import Phase
from migrations.process.failpoints import failpoint
from migrations.run.run import Run
from migrations.run.trust import Because, flush, target_may_hold_chunks
from migrations.target.drop import drop, is_there
from migrations.target.ready import make_readable, waits_for_its_index

log = structlog.get_logger(__name__)


def execute(run: Run) -> Outcome:
    """Create the target, or adopt it when it is there and is this bot's own.

    Raises:
        ForeignCollection, SchemaNotReproduced, CollectionNotFound.
    """
    migration, vectors = run.migration, run.services.vectors
    if migration.target_is_kept:
        make_readable(run, migration.target_collection)
        return Outcome()
    vectors.create_like(
        run.source, migration.target_collection, migration.config.to_dimension, migration.tag
    )
    if target_may_hold_chunks(run) or not waits_for_its_index(run):
        vectors.begin_loading(migration.target_collection)
    failpoint("new_collection.after_create", migration_id=migration.id)
    _take_back_if_late(run)
    return Outcome()


def _take_back_if_late(run: Run) -> None:
    """The run may have been undone while Milvus was still at it; then nobody else drops this.

    Raises:
        Superseded: another epoch owns the migration. Driven again it needs the target,
        and dropping refuses.
    """
    if run.services.store.heartbeat(run.migration.id, run.migration.epoch):
        return
    with suppress(ForeignCollection):
        undo(run)
    raise Superseded


def undo(run: Run) -> None:
    """Hold the target if it was paid for, else drop it; only if it is ours and nobody's.

    Raises:
        ForeignCollection: it carries another owner's tag, or somebody may be reading it.
    """
    if run.migration.target_is_kept:
        return
    name = run.migration.target_collection
    with run.services.store.lock_for_drop(name) as is_nobodys:
        if not is_nobodys:
            raise ForeignCollection(f"{name!r} is a bot's live or previous collection; kept.")
        if not is_there(run.services, name, run.migration.tag):
            return
        chunks = _worth_keeping(run)
        if not chunks:
            drop(run.services, name, run.migration.tag)
            log.info("target_dropped", collection=name)
            return
    _hold(run, chunks)


#: What failed because of what the target holds would fail again on the same target.
FAULTS_OF_THE_TARGET = frozenset(
    error.code for error in (VerificationFailed, SchemaNotReproduced, ForeignCollection)
)


def _worth_keeping(run: Run) -> int:
    """Chunks that have been paid for and that the next run to the same model can use."""
    migration, vectors = run.migration, run.services.vectors
    paid = migration.target_adopted or Phase.DATA_MIGRATION in migration.phase_times
    at_fault = (migration.error or {}).get("code") in FAULTS_OF_THE_TARGET
    if not paid or at_fault or run.services.settings.hold_hours == 0:
        return 0
    name = migration.target_collection
    if vectors.is_loaded(name):
        return vectors.count(name)
    flush(run, name, Because.IT_IS_COUNTED_UNLOADED)  # loading it for that takes minutes
    return vectors.index_state(name).total_rows


def _hold(run: Run, chunks: int) -> None:
    """Raises ForeignCollection when it has become somebody's since the lock was given back."""
    name, hours = run.migration.target_collection, run.services.settings.hold_hours
    if not run.services.store.keep_target(run.migration.id, chunks, hours):
        raise ForeignCollection(f"{name!r} is a bot's live or previous collection; kept.")
    failpoint("new_collection.after_hold", migration_id=run.migration.id)
    run.services.vectors.release(name)
    log.info("target_held", collection=name, chunks=chunks, hours=hours)
