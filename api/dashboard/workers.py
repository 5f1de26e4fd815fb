"""Who works, at what, and what is wrong with that which migrations stand on."""

from __future__ import annotations

from flask import Response

from api.auth import current_caller
from api.dashboard.blueprints import page, pages
from api.services import services
from migrations.model import task_names as names
from migrations.model.bots import Role

_QUEUES = (names.CONTROL_QUEUE, *names.BATCH_QUEUES)


@pages.get("/workers")
def workers() -> Response:
    """Hosts, processes and what each is at are shown to admins alone."""
    lookout = services().system.lookout
    return page(
        "workers.html",
        crew=lookout.crew(),
        queues=_QUEUES,
        findings=lookout.lately().findings,
        for_admin=current_caller().role is Role.ADMIN,
    )
