"""What moves is told to its page as it happens, which then asks for its moving part again.

So everything that is shown is made in one place, with and without JavaScript, and the stream says
nothing but that there is something new.
"""

from __future__ import annotations

from uuid import UUID

from flask import Response, current_app

from api.auth import current_caller
from api.dashboard import session
from api.dashboard.blueprints import pages
from api.services import services_of
from api.streams import Stream, block, open_stream
from migrations.model.errors import MigrationNotFound, NotAuthenticated
from migrations.model.history import Look
from migrations.model.progress import MigrationProgress


@pages.get("/migrations/<uuid:migration_id>/changes")
def migration_changes(migration_id: UUID) -> Response:
    """A stream of server-sent events: ``changed`` at first and then as it happens, and ``end``."""
    given = services_of(current_app)
    given.history.require_seen(current_caller(), migration_id)
    is_logged_in = session.still_good()

    def may_go_on() -> bool:
        try:
            given.history.require_seen(is_logged_in(), migration_id)
        except (NotAuthenticated, MigrationNotFound):
            return False
        return True

    # From the beginning: whatever came since the page was made has changed it.
    first = given.history.look(migration_id, 0)
    return open_stream(first, Stream(migration_id, 0, _Teller(), may_go_on))


class _Teller:
    """Whether a look shows another page than the one before."""

    def __init__(self) -> None:
        self._last: MigrationProgress | None = None

    def __call__(self, look: Look) -> str:
        is_new = look.progress != self._last or bool(look.events)
        self._last = look.progress
        told = block("changed", "") if is_new else ""
        return told + block("end", "") if look.is_over else told
