"""Register an existing collection as a bot, see it, correct it, and let it go."""

from __future__ import annotations

from flask import Response, url_for

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    BotChangeRequest,
    BotListResponse,
    BotPageQuery,
    BotPath,
    BotRegistrationRequest,
    BotRemovalQuery,
    BotRemovalResponse,
    BotResponse,
)
from api.services import services
from api.trail import concerns
from api.turns import turn
from migrations.model import errors

bots = guarded_blueprint("bots", __name__, "Collections that are looked after.")


@bots.post(
    "/bots",
    responses={
        201: BotResponse,
        **refusals(
            errors.CollectionNotGranted,
            errors.BotExists,
            errors.CollectionInUse,
            errors.CollectionNotFound,
            errors.CollectionUnsupported,
            errors.UnknownProvider,
            errors.UnknownModel,
            errors.InvalidConfiguration,
            errors.UnusualRoles,
            errors.VectorStoreUnavailable,
            errors.TooManyAtOnce,
            body=True,
        ),
    },
)
def register_bot(body: BotRegistrationRequest) -> Response:
    """Register a bot

    The collection is read and never changed; only its alias is made if there is none. With
    `adopt_name` it is renamed, and the alias gets its name.
    A caller who is no admin needs a grant for the collection's name, and for the alias it
    is given by or gets.
    """
    concerns(body.bot_id)
    with turn():
        made = services().system.register_bot(current_caller(), body.registration())
    return answer(BotResponse.of(made), 201, location=url_for("bots.bot", bot_id=made.bot_id))


@bots.get("/bots", endpoint="list", responses={200: BotListResponse, **refusals()})
def list_bots(query: BotPageQuery) -> Response:
    """List the caller's bots

    An admin sees those of every owner. More than `limit` come in pages, see `next_cursor`.
    """
    found = services().system.bots(current_caller(), after=query.cursor, limit=query.limit + 1)
    return answer(BotListResponse.of(found, query.limit))


@bots.get(
    "/bots/<bot_id>",
    endpoint="bot",
    responses={200: BotResponse, **refusals(errors.BotNotFound)},
)
def get_bot(path: BotPath) -> Response:
    """See a bot and what it answers from"""
    return answer(BotResponse.of(services().system.bot(current_caller(), path.bot_id)))


@bots.patch(
    "/bots/<bot_id>",
    endpoint="change",
    responses={
        200: BotResponse,
        **refusals(
            errors.BotNotFound,
            errors.NotAllowed,
            errors.CollectionNotFound,
            errors.InvalidConfiguration,
            errors.UnusualRoles,
            errors.MigrationInProgress,
            errors.VectorStoreUnavailable,
            errors.TooManyAtOnce,
            body=True,
        ),
    },
)
def change_bot(path: BotPath, body: BotChangeRequest) -> Response:
    """Correct a bot

    What is sent again, or is so already, changes nothing. Fields of the collection are looked
    at, and cannot be changed while a migration is live; a text field must prove itself as it
    does at registration. Only an admin may name another owner, whom the bot's migrations
    follow.
    """
    with turn():
        changed = services().system.change_bot(current_caller(), path.bot_id, body.change())
    return answer(BotResponse.of(changed))


@bots.delete(
    "/bots/<bot_id>",
    endpoint="remove",
    responses={
        200: BotRemovalResponse,
        **refusals(
            errors.BotNotFound,
            errors.MigrationInProgress,
            errors.VectorStoreUnavailable,
            errors.TooManyAtOnce,
        ),
    },
)
def remove_bot(path: BotPath, query: BotRemovalQuery) -> Response:
    """Remove a bot

    The bot and the history of its migrations are forgotten; what was paid stays in the ledger.
    Nothing in Milvus is touched unless it is to give the name back: the answer names what
    stays. Refused while a migration is live. Sent again, it is answered 404.
    """
    with turn():
        removed = services().system.remove_bot(
            current_caller(), path.bot_id, with_name=query.give_back_name
        )
    return answer(BotRemovalResponse.of(removed))
