"""All tasks. Each gets the services and calls one use case."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from migrations.model import task_names as names
from migrations.model.chunks import Key, KeyRange
from migrations.model.states import Phase
from migrations.way_back import kept
from migrations.writers.applying import apply_journal
from worker.application import app, assembly


def _phase_task(phase: Phase) -> None:
    @app.task(name=names.phase_task(phase))
    def run_phase(migration_id: str, epoch: int) -> dict[str, Any]:
        assembly().conductor.run_phase(UUID(migration_id), epoch, phase)
        return {"phase": phase.value, "outcome": "done"}


def _undo_task(phase: Phase) -> None:
    @app.task(name=names.undo_task(phase))
    def undo_phase(migration_id: str, epoch: int) -> dict[str, Any]:
        assembly().conductor.undo_phase(UUID(migration_id), epoch, phase)
        return {"phase": phase.value, "outcome": "undone"}


for _phase in Phase:
    _phase_task(_phase)
    _undo_task(_phase)


# Its wave counts it all the same; a result of its own would be 2 KB in Redis for an hour.
@app.task(name=names.BATCH, ignore_result=True)
def batch(
    migration_id: str, epoch: int, index: int, after: Key | None, upto: Key | None
) -> dict[str, Any]:
    """Embed and store one key range; returns counts, never raises for a failed chunk."""
    return assembly().conductor.run_batch(UUID(migration_id), epoch, index, KeyRange(after, upto))


# Its result would list every batch of the wave it opens.
@app.task(name=names.ADVANCE, ignore_result=True)
def advance(migration_id: str, epoch: int, wave: int) -> None:
    """A wave has ended; open the next of its lane, or start catching up."""
    assembly().conductor.advance(UUID(migration_id), epoch, wave)


@app.task(name=names.CATCH_UP)
def catch_up(migration_id: str, epoch: int) -> None:
    """Apply the writes made during the data migration."""
    assembly().conductor.catch_up(UUID(migration_id), epoch)


@app.task(name=names.QUIESCE)
def quiesce(migration_id: str, epoch: int) -> None:
    """Wait until no batch is in flight."""
    assembly().conductor.quiesce(UUID(migration_id), epoch)


@app.task(name=names.FINISH_ROLLBACK)
def finish_rollback(migration_id: str, epoch: int) -> str:
    """All undos have ended; say how."""
    return assembly().conductor.finish_rollback(UUID(migration_id), epoch).value


@app.task(name=names.SWEEP)
def sweep(migration_id: str, epoch: int, number: int) -> dict[str, Any] | None:
    """Forward what was written to the old collection after the switch."""
    result = assembly().system.sweep(UUID(migration_id))
    return vars(result) if result else None


@app.task(name=names.RETIRE)
def retire(migration_id: str, epoch: int, number: int) -> bool:
    """The retention window has closed: end the way back, unless late writes still come."""
    return kept.retire(assembly().services, UUID(migration_id))


@app.task(name=names.DROP_KEPT)
def drop_kept(migration_id: str, epoch: int, number: int, collection: str) -> bool:
    """Drop a collection that was held for long enough."""
    return kept.drop_kept(assembly().services, collection)


# It comes for every few writes, and nobody asks for its result.
@app.task(name=names.APPLY_JOURNAL, ignore_result=True)
def journal(bot_id: str) -> None:
    """Apply what was written to a bot through us."""
    apply_journal(assembly().services, bot_id)
