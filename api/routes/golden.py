"""Golden queries: what a bot's owner wants to be asked before anything is switched."""

from __future__ import annotations

from flask import Response

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import BotPath
from api.schemas.golden import GoldenQueriesRequest, GoldenQueriesResponse
from api.services import services
from migrations.model import errors

golden = guarded_blueprint("golden", __name__, "Questions that verification asks both sides.")


@golden.put(
    "/bots/<bot_id>/golden-queries",
    endpoint="put",
    responses={200: GoldenQueriesResponse, **refusals(errors.BotNotFound, body=True)},
)
def put_golden_queries(path: BotPath, body: GoldenQueriesRequest) -> Response:
    """Say which questions verification asks

    They take the place of those before; a run takes those there are when it verifies. Both
    collections are asked, each with its own model.
    """
    kept = services().system.set_golden_queries(current_caller(), path.bot_id, body.golden())
    return answer(GoldenQueriesResponse.of(path.bot_id, kept))


@golden.get(
    "/bots/<bot_id>/golden-queries",
    endpoint="list",
    responses={200: GoldenQueriesResponse, **refusals(errors.BotNotFound)},
)
def get_golden_queries(path: BotPath) -> Response:
    """See which questions verification asks"""
    kept = services().system.golden_queries(current_caller(), path.bot_id)
    return answer(GoldenQueriesResponse.of(path.bot_id, kept))


@golden.delete(
    "/bots/<bot_id>/golden-queries",
    endpoint="delete",
    responses={200: GoldenQueriesResponse, **refusals(errors.BotNotFound)},
)
def delete_golden_queries(path: BotPath) -> Response:
    """Forget a bot's golden queries

    Answered with the empty list that is left; sent again, it is answered the same.
    """
    kept = services().system.set_golden_queries(current_caller(), path.bot_id, [])
    return answer(GoldenQueriesResponse.of(path.bot_id, kept))
