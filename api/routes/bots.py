"""Register an existing collection as a bot, and see it."""

from __future__ import annotations

from flask import Response, url_for

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import BotListResponse, BotPath, BotRegistrationRequest, BotResponse
from api.services import services
from migrations.model import errors

bots = guarded_blueprint("bots", __name__, "Collections that are looked after.")


@bots.post(
    "/bots",
    responses={
        201: BotResponse,
        **refusals(
            errors.BotExists,
            errors.CollectionInUse,
            errors.CollectionNotFound,
            errors.CollectionUnsupported,
            errors.UnknownProvider,
            errors.UnknownModel,
            errors.InvalidConfiguration,
            errors.VectorStoreUnavailable,
            body=True,
        ),
    },
)
def register_bot(body: BotRegistrationRequest) -> Response:
    """Register a bot

    The collection is read and never changed; only its alias is made if there is none.
    """
    made = services().system.register_bot(current_caller(), body.registration())
    return answer(BotResponse.of(made), 201, location=url_for("bots.bot", bot_id=made.bot_id))


@bots.get("/bots", endpoint="list", responses={200: BotListResponse, **refusals()})
def list_bots() -> Response:
    """List the caller's bots

    An admin sees those of every owner.
    """
    return answer(BotListResponse.of(services().system.bots(current_caller())))


@bots.get(
    "/bots/<bot_id>",
    endpoint="bot",
    responses={200: BotResponse, **refusals(errors.BotNotFound)},
)
def get_bot(path: BotPath) -> Response:
    """See a bot and what it answers from"""
    return answer(BotResponse.of(services().system.bot(current_caller(), path.bot_id)))
