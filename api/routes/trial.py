"""Trying another embedding on some chunks."""

from __future__ import annotations

from flask import Response

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import BotPath, MigrationTrialRequest, MigrationTrialResponse
from api.services import services
from api.turns import turn
from migrations.model import errors

trial = guarded_blueprint("trial", __name__, "Another embedding for some chunks, to look at.")


@trial.post(
    "/bots/<bot_id>/trial",
    endpoint="post",
    responses={
        200: MigrationTrialResponse,
        **refusals(
            errors.BotNotFound,
            errors.SameModel,
            errors.UnknownProvider,
            errors.UnknownModel,
            errors.ProviderKeyMissing,
            errors.InvalidConfiguration,
            errors.UnusualRoles,
            errors.CollectionNotFound,
            errors.ProviderAuthenticationFailed,
            errors.ProviderQuotaExhausted,
            errors.ProviderUnavailable,
            errors.ProviderRateLimited,
            errors.ProviderRefuses,
            errors.VectorStoreUnavailable,
            errors.TooManyAtOnce,
            body=True,
        ),
    },
)
def try_embedding(path: BotPath, body: MigrationTrialRequest) -> Response:
    """Try another embedding on some chunks

    They are embedded, stored in a scratch collection beside the bot's, and judged as
    verification would judge them; then the collection is dropped. Nothing of the bot's changes,
    and whoever waits for the answer is told what it cost and what all would take. Answered
    within seconds, or as long as the provider takes for some five hundred texts.
    """
    with turn():
        found = services().compatibility.trial(current_caller(), body.trial(path.bot_id))
    return answer(MigrationTrialResponse.of(found))
