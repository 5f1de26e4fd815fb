"""Names of tasks and queues, for the person who reads them in Flower.

The API enqueues by these names and never imports the worker.
"""

from __future__ import annotations

from uuid import UUID

from migrations.model.chunks import KeyRange
from migrations.model.states import Phase

CONTROL_QUEUE = "migrations.control"
#: Workers take from these in turn. Migrations that run at the same time use different
#: ones, or the batches of the first would all be in front of the others'.
BATCH_QUEUES = ("migrations.batch", *(f"migrations.batch.{number}" for number in range(1, 8)))

BATCH = "migrations.batch"
ADVANCE = "migrations.advance"
CATCH_UP = "migrations.catch_up"
QUIESCE = "migrations.rollback.quiesce"
FINISH_ROLLBACK = "migrations.rollback.finish"
SWEEP = "migrations.sweep"
RETIRE = "migrations.retire"
DROP_KEPT = "migrations.drop_held"
APPLY_JOURNAL = "migrations.journal"


def phase_task(phase: Phase) -> str:
    return f"migrations.phase.{phase.value}"


def undo_task(phase: Phase) -> str:
    return f"migrations.undo.{phase.value}"


def task_id(migration_id: UUID | str, epoch: int, what: str) -> str:
    """Readable and the same for a doubled message; starts with the migration's id."""
    return f"{migration_id}.{epoch}.{what}"


def migration_of(some_task_id: str) -> UUID | None:
    """The migration a task belongs to; None for a task that is not ours."""
    try:
        return UUID(some_task_id.split(".", 1)[0])
    except ValueError:
        return None


def described(
    migration_id: UUID | str, epoch: int, what: str, within: KeyRange | None = None
) -> str:
    """What Flower shows as a task's arguments; the id whole, to be copied."""
    text = f"migration {migration_id}, epoch {epoch}, {what}"
    return f"{text}, keys {within}" if within else text
