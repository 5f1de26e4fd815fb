"""Phase 3: make the target: the source's schema with another dimension."""

from __future__ import annotations

from contextlib import suppress

import structlog

from migrations.model.errors import (
    ForeignCollection,
    SchemaNotReproduced,
    StillRead,
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
        run.wanted, migration.target_collection, migration.config.to_dimension, migration.tag
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
    with suppress(StillRead):
        undo(run)
    raise Superseded


def undo(run: Run) -> None:
    """Hold the target if it was paid for, else drop it; only if it is ours and nobody's.

    One that never was ours, or is somebody's by now, is let go: it is no longer for this
    run to undo, and would be no more so if a person had it tried again.

    Raises:
        StillRead: an alias points to it.
    """
    if run.migration.target_is_kept:
        return
    name = run.migration.target_collection
    with run.services.store.lock_for_drop(name) as is_nobodys:
        chunks = _drop_unless_worth_keeping(run) if is_nobodys else 0
    if not is_nobodys:
        _let_go(run, BY_NOW_SOMEBODYS)
    if chunks:
        _hold(run, chunks)


def _drop_unless_worth_keeping(run: Run) -> int:
    """Chunks that are worth keeping; 0 when it was dropped, is gone or is not ours."""
    name, tag = run.migration.target_collection, run.migration.tag
    try:
        if not is_there(run.services, name, tag):
            return 0
    except ForeignCollection:
        _let_go(run, NEVER_OURS)
        return 0
    chunks = _worth_keeping(run)
    if not chunks:
        drop(run.services, name, tag)
        log.info("target_dropped", collection=name)
    return chunks


NEVER_OURS = "The collection {!r} was not made for this bot; it was left as it is."
BY_NOW_SOMEBODYS = "The collection {!r} is a bot's or another run's by now; it was left as it is."


def _let_go(run: Run, why: str) -> None:
    migration = run.migration
    warning = why.format(migration.target_collection)
    log.warning("target_let_go", collection=migration.target_collection, reason=warning)
    run.services.store.note(migration.id, migration.epoch, warnings=[warning])


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
    """Lets it go when it has become somebody's since the lock was given back."""
    name, hours = run.migration.target_collection, run.services.settings.hold_hours
    if not run.services.store.keep_target(run.migration.id, chunks, hours):
        _let_go(run, BY_NOW_SOMEBODYS)
        return
    failpoint("new_collection.after_hold", migration_id=run.migration.id)
    run.services.vectors.release(name)
    log.info("target_held", collection=name, chunks=chunks, hours=hours)
