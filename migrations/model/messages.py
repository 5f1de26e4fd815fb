"""The messages that wake workers. They carry ids, epochs and key ranges; never texts or secrets.

A message is a plain dict so that it can lie in the outbox as JSON. Losing one
costs the time until the watchdog notices; receiving one twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from migrations.model.chunks import KeyRange
from migrations.model.states import Phase


def run(migration_id: UUID, epoch: int, start: Phase) -> dict[str, Any]:
    """Drive the phases from ``start`` on."""
    return _message("run", migration_id, epoch, start=start.value)


def catch_up(migration_id: UUID, epoch: int) -> dict[str, Any]:
    """All batches are done: catch up, verify, finalize, clean up."""
    return _message("catch_up", migration_id, epoch)


def compensate(migration_id: UUID, epoch: int, phases: Sequence[Phase]) -> dict[str, Any]:
    """Undo these phases in this order."""
    return _message("compensate", migration_id, epoch, phases=[p.value for p in phases])


def wave(
    migration_id: UUID,
    epoch: int,
    number: int,
    batches: Sequence[tuple[int, KeyRange]],
    place: int = 0,
) -> dict[str, Any]:
    """Run these batches as one group and advance when all have ended.

    ``place`` is the migration's among those that run now; each place has a queue.
    """
    ranges = [[index, r.after, r.upto] for index, r in batches]
    return _message("wave", migration_id, epoch, number=number, batches=ranges, place=place)


def sweep(migration_id: UUID, epoch: int, number: int) -> dict[str, Any]:
    """Forward what was written to the collection this migration left behind."""
    return _message("sweep", migration_id, epoch, number=number)


def retire(migration_id: UUID, epoch: int, number: int) -> dict[str, Any]:
    """The collection this migration left behind has passed its retention window."""
    return _message("retire", migration_id, epoch, number=number)


def drop_kept(migration_id: UUID, epoch: int, number: int, collection: str) -> dict[str, Any]:
    """The collection has been held for long enough."""
    return _message("drop_held", migration_id, epoch, number=number, collection=collection)


def _message(kind: str, migration_id: UUID, epoch: int, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "migration_id": str(migration_id), "epoch": epoch, **more}
