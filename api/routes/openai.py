"""OpenAI's protocol: an application that speaks it follows every switch by one base URL."""

from __future__ import annotations

from typing import Any

from flask import Response
from werkzeug.exceptions import HTTPException

from api import openai_errors
from api.answers import answer
from api.auth import current_caller
from api.problems import RequestInvalid
from api.routes.guarded import guarded_blueprint
from api.schemas.openai import (
    EmbeddingsRequest,
    EmbeddingsResponse,
    ModelOfOpenAI,
    ModelPath,
    ModelsResponse,
    OpenAIErrorResponse,
    embeddings_body,
)
from api.services import services
from api.turns import readers_turn
from api.waiting import wait_until
from migrations.model import errors
from migrations.readers.by_alias import alias_stays

openai = guarded_blueprint(
    openai_errors.BLUEPRINT, __name__, "The models behind the bots' aliases, for clients of OpenAI."
)
openai.register_error_handler(errors.ReembedError, openai_errors.answer)
openai.register_error_handler(HTTPException, openai_errors.answer_http)

#: Somebody waits for an answer to his question.
_LOOK_SECONDS = 0.02

_REFUSALS: dict[str | int, Any] = dict.fromkeys(
    (400, 401, 403, 404, 429, 502, 503, "default"), OpenAIErrorResponse
)


@openai.post("/v1/embeddings", responses={200: EmbeddingsResponse, **_REFUSALS})
def embeddings(body: EmbeddingsRequest) -> Response:
    """Embed texts as the bot of an alias wants them now

    With the model of the collection that the alias points to at this moment: who searches by
    the alias right afterwards, searches with the right vector, also while the bot switches.
    """
    if body.kind is None:
        raise _of_no_kind(body.model)
    readers_turn()
    texts, readers = body.texts(services().vocabulary), services().alias_readers
    try:
        given = readers.embed(current_caller(), body.alias, body.kind, texts, body.dimensions)
    except errors.AliasMoves as moves:
        hold = services().settings.alias_hold_seconds
        wait_until(moves.details["bot_id"], alias_stays, hold, look_seconds=_LOOK_SECONDS)
        raise
    made = embeddings_body(body.model, given.vectors, given.tokens, body.encoding_format)
    headers = {"X-Reembed-Model": f"{given.embedding.provider}/{given.embedding.model}"}
    return Response(made, 200, headers, content_type="application/json")


@openai.get("/v1/models", responses={200: ModelsResponse, **_REFUSALS})
def models() -> Response:
    """List what may be named as a model"""
    bots = services().system.bots(current_caller())
    found = [model for bot in bots for model in ModelOfOpenAI.all_of(bot)]
    return answer(ModelsResponse(object="list", data=found))


@openai.get("/v1/models/<model>", responses={200: ModelOfOpenAI, **_REFUSALS})
def model(path: ModelPath) -> Response:
    """See one model"""
    alias = path.model.partition(":")[0]
    bot = services().alias_readers.bot(current_caller(), alias)
    found = [one for one in ModelOfOpenAI.all_of(bot) if one.id == path.model]
    if not found:
        raise errors.BotNotFound
    return answer(found[0])


def _of_no_kind(model: str) -> RequestInvalid:
    sentence = (
        f"Whether the texts are questions or passages cannot be told of {model!r}: end it with "
        "':query' or ':passage', and let input_type say the same or nothing."
    )
    told = {"in": "body", "path": "$.model", "code": "kind", "message": sentence}
    return RequestInvalid(sentence, errors=[told])
