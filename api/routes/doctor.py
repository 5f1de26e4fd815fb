"""The doctor."""

from __future__ import annotations

from flask import Response

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import admin_blueprint
from api.schemas import CheckupResponse, DoctorQuery
from api.services import services
from api.turns import turn
from migrations.model import errors

doctor = admin_blueprint("doctor", __name__, "Whether everything is as migrations need it (admin).")


@doctor.get(
    "/doctor",
    responses={200: CheckupResponse, **refusals(errors.NotAllowed, errors.TooManyAtOnce)},
)
def examine(query: DoctorQuery) -> Response:
    """Look at everything that migrations stand on (admin)

    Dependencies, schema, workers and queues, clocks, settings, Redis' memory and disk, what may be
    done in Milvus (tried on a collection of its own, which is dropped), providers and keys,
    aliases, collections, stuck migrations. What is wrong is an answer and no problem. It takes
    some seconds.
    """
    with turn():
        found = services().system.examine(current_caller(), ask_providers=query.ask_providers)
    return answer(CheckupResponse.of(found))
