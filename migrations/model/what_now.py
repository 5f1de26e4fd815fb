"""What may be done with a migration that does not go on by itself; the same in every answer."""

from __future__ import annotations

from uuid import UUID

from migrations.model.states import Status


def repair_command(migration_id: UUID) -> str:
    return f"celery -A worker reembed repair {migration_id}"


def what_now(migration_id: UUID, status: Status) -> str | None:
    """In a sentence or two; None where it goes on by itself or has ended well."""
    match status:
        case Status.NEEDS_OPERATOR:
            return (
                f"An undo of migration {migration_id} has failed, and nothing else can start for "
                "the bot: mend what its diagnosis names, then an operator runs: "
                f"{repair_command(migration_id)}"
            )
        case Status.FAILED:
            return (
                f"Migration {migration_id} has failed and, as was asked for, nothing was undone. "
                "Start another one, or have an operator undo it: "
                f"{repair_command(migration_id)}"
            )
        case Status.WAITING:
            return (
                f"Migration {migration_id} waits before its switch: look at its report, then "
                "accept it (switch) or take it back (cancel)."
            )
    return None


def repair_of(migration_id: UUID, status: Status) -> dict[str, str]:
    """The command as a member of its own, where there is one."""
    if status in {Status.NEEDS_OPERATOR, Status.FAILED}:
        return {"repair": repair_command(migration_id)}
    return {}
