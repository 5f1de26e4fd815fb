"""Searching a bot: text in, chunks out."""

from __future__ import annotations

from flask import Response

from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import BotPath
from api.schemas.search import SearchRequest, SearchResponse, written
from api.services import services
from api.turns import readers_turn
from migrations.model import errors

search = guarded_blueprint("search", __name__, "Asking a bot.")


@search.post(
    "/bots/<bot_id>/search",
    endpoint="search",
    responses={
        200: SearchResponse,
        **refusals(
            errors.BotNotFound,
            errors.SearchRefused,
            errors.QuestionRefused,
            errors.CollectionNotFound,
            errors.VectorStoreUnavailable,
            errors.VectorStoreRefused,
            errors.TextsUnavailable,
            errors.ProviderUnavailable,
            errors.ProviderRateLimited,
            errors.ProviderAuthenticationFailed,
            errors.ProviderQuotaExhausted,
            errors.ProviderRefuses,
            errors.TooManyAtOnce,
            body=True,
        ),
    },
)
def post_search(path: BotPath, body: SearchRequest) -> Response:
    """Find chunks that answer a text

    The text is embedded with the bot's live model as a query, and its live collection searched.
    Both are those of one generation, which the answer names, also while the bot is switched.
    """
    readers_turn()
    answered = services().searching.search(current_caller(), path.bot_id, body.search())
    return Response(written(path.bot_id, answered), content_type="application/json")
