"""Who works."""

from __future__ import annotations

from flask import Response

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import WorkersResponse
from api.services import services
from migrations.model.bots import Role

workers = guarded_blueprint("workers", __name__, "Who works.")


@workers.get("/workers", responses={200: WorkersResponse, **refusals()})
def list_workers() -> Response:
    """See how many workers are alive and which queues they read

    An admin also sees each one's host, and at what it is.
    """
    crew = services().system.lookout.crew()
    for_admin = current_caller().role is Role.ADMIN
    return answer(WorkersResponse.of(crew, for_admin=for_admin))
