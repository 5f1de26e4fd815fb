"""Where a caller can go from a migration, as its state allows."""

from __future__ import annotations

from uuid import UUID

from flask import url_for

from migrations.model.states import BEFORE_SWITCH, COMPENSABLE, Status

#: Before the switch a rollback cancels; when all is done it starts a reverse run.
_WAY_BACK = COMPENSABLE | {Status.COMPLETED}
_RETRIABLE = frozenset({Status.ROLLED_BACK, Status.FAILED})


def migration_links(migration_id: UUID, bot_id: str, status: Status) -> dict[str, str]:
    """Paths by name; what changes something only while it may succeed."""
    links = {
        "self": url_for("migrations.progress", migration_id=migration_id),
        "events": url_for("events.events", migration_id=migration_id),
        "report": url_for("migrations.report", migration_id=migration_id),
        "bot": url_for("bots.bot", bot_id=bot_id),
        "status": url_for("embeddings.migration_status", bot_id=bot_id),
    }
    if status is Status.WAITING:
        links["switch"] = url_for("migrations.switch", migration_id=migration_id)
    if status in BEFORE_SWITCH:
        links["pause"] = url_for("steering.pause", migration_id=migration_id)
    if status in COMPENSABLE:
        links["extend"] = url_for("steering.extend", migration_id=migration_id)
    if status in _RETRIABLE:
        links["retry"] = url_for("steering.retry", migration_id=migration_id)
    if status is Status.PAUSED:
        links["resume"] = url_for("steering.resume", migration_id=migration_id)
    if status in COMPENSABLE:
        links["cancel"] = url_for("embeddings.cancel_migration", bot_id=bot_id)
    if status in _WAY_BACK:
        links["rollback"] = url_for("migrations.rollback", migration_id=migration_id)
    return links
