"""What the limiter has learned of providers; for admins."""

from __future__ import annotations

from flask import Response

from api.answers import answer, done
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import admin_blueprint
from api.schemas import LearnedPacesResponse, ProviderPath
from api.services import services
from migrations.model import errors

paces = admin_blueprint("paces", __name__, "What calls to providers are held to (admin).")


@paces.get(
    "/paces",
    endpoint="paces",
    responses={200: LearnedPacesResponse, **refusals(errors.NotAllowed, errors.LimiterAway)},
)
def list_paces() -> Response:
    """List what calls to each provider are held to (admin)

    Limits, what refusals have taught, and pauses that were asked for: of every provider that was
    called in the last day.
    """
    return answer(LearnedPacesResponse.of(services().system.learned_paces(current_caller())))


@paces.delete(
    "/paces/<provider>",
    endpoint="forget_pace",
    responses={
        204: None,
        **refusals(errors.NotAllowed, errors.NothingLearned, errors.LimiterAway),
    },
)
def forget_pace(path: ProviderPath) -> Response:
    """Forget what a provider's refusals have taught (admin)

    It is asked as its limits allow again, at once and by all workers, or without a limit where
    none is known. A pause that it has asked for stays in force.
    """
    services().system.forget_pace(current_caller(), path.provider)
    return done()
