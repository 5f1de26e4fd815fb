"""Refusals in OpenAI's shape, so that its clients raise their own exceptions and know what to do.

The problem of :mod:`api.problems` is the same; status and words are those a client of OpenAI
acts on: it repeats what is answered with 429 or from 500 on, unless it is told not to.
"""

from __future__ import annotations

import orjson
from flask import Response, g
from werkzeug.exceptions import HTTPException

from api import problems
from api.problems import RequestInvalid, TooManyRequests
from migrations.model import errors as domain

#: Of the routes whose refusals have this shape.
BLUEPRINT = "openai"

_INVALID, _LIMIT, _SERVER = "invalid_request_error", "rate_limit_error", "server_error"

#: (status, type, code, param) of an error or of the nearest of its parents.
_TABLE: dict[type[domain.ReembedError], tuple[int, str, str | None, str | None]] = {
    domain.NotAuthenticated: (401, _INVALID, "invalid_api_key", None),
    domain.NotAllowed: (403, _INVALID, "permission_denied", None),
    domain.BotNotFound: (404, _INVALID, "model_not_found", "model"),
    domain.DimensionNotLive: (400, _INVALID, "invalid_dimensions", "dimensions"),
    domain.TokensUnknown: (400, _INVALID, "invalid_token_ids", "input"),
    domain.TextTooLong: (400, _INVALID, "context_length_exceeded", "input"),
    domain.TextRefused: (400, _INVALID, "input_refused", "input"),
    domain.InvalidVectors: (502, _SERVER, "invalid_vectors", None),
    domain.ProviderRateLimited: (429, _LIMIT, "rate_limit_exceeded", None),
    domain.ProviderQuotaExhausted: (429, "insufficient_quota", "insufficient_quota", None),
    TooManyRequests: (429, _LIMIT, "rate_limit_exceeded", None),
    domain.TooManyAtOnce: (429, _LIMIT, "too_many_at_once", None),
    domain.TransientError: (503, _SERVER, None, None),
    domain.RequestError: (400, _INVALID, None, None),
    domain.PermanentError: (502, _SERVER, None, None),
    domain.ReembedError: (500, _SERVER, None, None),
}
#: Another try within the client's patience would end the same.
_FINAL = (
    *(domain.ProviderQuotaExhausted, domain.ProviderAuthenticationFailed),
    *(domain.ProviderKeyMissing, domain.ProviderRefuses, domain.InvalidVectors),
)


def answer(error: domain.ReembedError) -> Response:
    problem = problems.noted(error)
    status, kind, code, param = next(_TABLE[c] for c in type(error).__mro__ if c in _TABLE)
    message = problem.detail
    if isinstance(error, domain.BotNotFound):
        message = "There is no bot of this alias, or it is not yours: GET /v1/models lists them."
    if isinstance(error, RequestInvalid):
        param = _member(error)
    headers = problem.headers | ({"x-should-retry": "false"} if isinstance(error, _FINAL) else {})
    return _response(status, message, kind, code or problem.code.replace("-", "_"), param, headers)


def answer_http(error: HTTPException) -> Response:
    problem = problems.of_http(error)
    g.problem = problem.code
    kind = _INVALID if problem.status < 500 else _SERVER
    code = problem.code.replace("-", "_")
    return _response(problem.status, problem.detail, kind, code, None, problem.headers)


def _member(error: RequestInvalid) -> str | None:
    first = error.details.get("errors", [{}])[0].get("path", "$")
    return first.removeprefix("$").lstrip(".").partition("[")[0] or None


def _response(
    status: int,
    message: str,
    kind: str,
    code: str,
    param: str | None,
    headers: dict[str, str],
) -> Response:
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Response(orjson.dumps(body), status, headers, content_type="application/json")
