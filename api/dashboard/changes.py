"""What moves is told to its page as it happens, which then asks for its moving part again.

So everything that is shown is made in one place, with and without JavaScript, and the stream says
nothing but that there is something new.
"""

from __future__ import annotations

import math
import time
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

#: A bar that moves is told of no more often: each page that is open makes its part anew then. What
#: happens is told at once.
PROGRESS_SECONDS = 2.0


@pages.get("/migrations/<uuid:migration_id>/changes")
def migration_changes(migration_id: UUID) -> Response:
    """A stream of server-sent events: ``changed`` at first and then as it happens, and ``end``."""
    given = services_of(current_app)
    caller = current_caller()
    given.history.require_seen(caller, migration_id)
    is_logged_in = session.still_good()

    def may_go_on() -> bool:
        try:
            given.history.require_seen(is_logged_in(), migration_id)
        except (NotAuthenticated, MigrationNotFound):
            return False
        return True

    # From the beginning: whatever came since the page was made has changed it.
    first = given.history.look(migration_id, 0)
    return open_stream(first, Stream(migration_id, 0, _Teller(), may_go_on, caller.owner))


class _Teller:
    """Whether a look shows another page than the one that was told of last."""

    def __init__(self) -> None:
        self._last: MigrationProgress | None = None
        self._told_at = -math.inf

    def __call__(self, look: Look) -> str:
        has_moved = look.progress != self._last
        has_rested = time.monotonic() - self._told_at >= PROGRESS_SECONDS
        if not (look.events or look.is_over or (has_moved and has_rested)):
            return ""
        self._last, self._told_at = look.progress, time.monotonic()
        return block("changed", "") + (block("end", "") if look.is_over else "")
