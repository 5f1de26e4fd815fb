"""Every error as an RFC 9457 problem document, from one table.

``type`` is ``/problems/<code>``: a relative reference, so that it is the same
for every installation. GET it and a short page explains it. ``detail`` is the
error's own sentence and the error's details follow as further members.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import structlog
from flask import Flask, Response, g, request
from pydantic_core import to_json
from werkzeug import exceptions as http

from migrations.model import errors as domain

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"

#: Asked to wait, without being told for how long.
_RETRY_AFTER_SECONDS = 5
#: A migration takes minutes; asking sooner whether one has ended is wasted.
_RETRY_AFTER_MIGRATIONS_SECONDS = 30

_log = structlog.get_logger(__name__)


class RequestInvalid(domain.RequestError):
    """A value in the request breaks a rule; 'errors' names each one."""

    code = "request-invalid"


class BodyMalformed(domain.RequestError):
    """The body is not valid JSON; check its commas and quotes."""

    code = "body-malformed"


class NotReady(domain.TransientError):
    """This process cannot answer without PostgreSQL and its newest schema; 'findings' say why."""

    code = "not-ready"


class NotWell(domain.TransientError):
    """Something that migrations need does not answer or work; 'findings' say what to do."""

    code = "not-well"


class TooManyRequests(domain.TransientError):
    """This token has sent more requests than it may in a minute; wait as Retry-After says."""

    code = "too-many-requests"


class TooManyStreams(domain.TransientError):
    """As many streams are open as this process keeps; ask for JSON every few seconds instead."""

    code = "too-many-streams"


class ProblemUnknown(domain.RequestError):
    """There is no problem of this name; the 'type' of a problem document has it."""

    code = "problem-unknown"


@dataclass(frozen=True)
class Kind:
    """What the table knows about a class of errors."""

    status: int
    title: str


#: Domain errors, and this package's own: the status unless it is the parent's, the title
#: unless it is the code in words. 422 and 409 where another request helps, 502 where what
#: stands behind us answers wrongly, 503 for what passes; a provider's rate limit is ours
#: and not the caller's, so it is no 429.
_PARTICULARS: dict[type[domain.ReembedError], tuple[int, str] | tuple[int]] = {
    domain.ReembedError: (500, "Unexpected error"),
    domain.RequestError: (400,),
    domain.BotNotFound: (404,),
    domain.BotExists: (409, "Bot exists already"),
    domain.CollectionInUse: (409,),
    domain.MigrationNotFound: (404,),
    domain.CursorInvalid: (422,),
    domain.UnknownProvider: (422,),
    domain.UnknownModel: (422,),
    domain.ProviderKeyMissing: (422,),
    domain.SameModel: (422, "Same model and dimension"),
    domain.UnusualRoles: (422, "Unusual roles"),
    domain.CollectionUnsupported: (422, "Collection not supported"),
    domain.InvalidConfiguration: (422,),
    domain.CollectionNotFound: (422,),
    domain.QuestionRefused: (422,),
    domain.NotAuthenticated: (401,),
    domain.NotAllowed: (403,),
    domain.IdempotencyConflict: (422, "Idempotency key used for another request"),
    domain.NameInvalid: (422,),
    domain.TokensUnknown: (422,),
    domain.DimensionNotLive: (422,),
    domain.WritesUnsupported: (422, "Chunks cannot be written through us"),
    domain.ChunksInvalid: (422,),
    domain.GrantNotFound: (404,),
    domain.KeptNotFound: (404, "Kept collection not found"),
    domain.TokenNotFound: (404,),
    domain.NothingLearned: (404,),
    RequestInvalid: (422,),
    ProblemUnknown: (404,),
    domain.TransitionRefused: (409, "Not possible in this state"),
    domain.NotSteerable: (409, "Cannot be steered in this state"),
    domain.TooManyMigrations: (429,),
    TooManyRequests: (429,),
    domain.TransientError: (503, "Temporarily unavailable"),
    domain.TooManyAtOnce: (429,),
    domain.PermanentError: (422, "Cannot succeed"),
    domain.ProviderAuthenticationFailed: (502, "Provider refuses the key"),
    domain.ProviderQuotaExhausted: (502, "Provider quota exhausted"),
    domain.InvalidVectors: (502, "Provider answers with invalid vectors"),
    domain.TextRefused: (502, "Provider refuses the text"),
    domain.ForeignCollection: (409, "Collection of this name exists"),
    domain.StillRead: (409, "Collection has an alias"),
    domain.ScanInconsistent: (502, "Vector store contradicts itself"),
    domain.SourceChanged: (409,),
    domain.VectorStoreRefused: (502, "Vector store refuses"),
    domain.AnswerTooLarge: (502, "Vector store holds rows that are too large"),
    domain.TimedOut: (504,),
}


def _kinds(error: type[domain.ReembedError], status: int) -> dict[type[domain.ReembedError], Kind]:
    """Of the class and all that derive from it, here or in the domain's list."""
    status, *title = _PARTICULARS.get(error, (status,))
    found = {error: Kind(status, *(title or [error.code.replace("-", " ").capitalize()]))}
    for child in error.__subclasses__():
        if child.__module__ in (domain.__name__, __name__):
            found |= _kinds(child, status)
    return found


TABLE = _kinds(domain.ReembedError, 500)


@dataclass(frozen=True)
class HttpKind:
    """As Kind, for what Flask or the server refuses by itself before a route is reached."""

    code: str
    title: str
    detail: str


HTTP_TABLE: dict[int, HttpKind] = {
    400: HttpKind("bad-request", "Bad request", "The request is not valid HTTP for this API."),
    404: HttpKind("not-found", "Not found", "There is nothing at this path; see /openapi."),
    405: HttpKind(
        "method-not-allowed",
        "Method not allowed",
        "This path takes other methods; the Allow header lists them.",
    ),
    413: HttpKind(
        "body-too-large",
        "Body too large",
        "The body is 64 KiB or larger, or beyond what this path takes; send less.",
    ),
    415: HttpKind(
        "media-type-unsupported",
        "Media type not supported",
        "Send the body as JSON, with 'Content-Type: application/json'.",
    ),
    431: HttpKind(
        "headers-too-large",
        "Headers too large",
        "Request line and headers are 32 KiB or larger; send less.",
    ),
    500: HttpKind(
        "internal-error",
        "Internal error",
        "Something unforeseen went wrong; the log tells more under this request_id.",
    ),
    501: HttpKind(
        "encoding-not-known",
        "Transfer encoding not known",
        "Send the body as it is or chunked; no other Transfer-Encoding is known.",
    ),
}


@dataclass(frozen=True)
class Problem:
    """One problem document; ``members`` never replace the standard ones."""

    code: str
    status: int
    title: str
    detail: str
    members: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        body = self.document(request.path, g.get("request_id"))
        return Response(body, self.status, self.headers, content_type=MEDIA_TYPE)

    def document(self, instance: str, request_id: str | None) -> bytes:
        standard = {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
        }
        document = standard | {k: v for k, v in self.members.items() if k not in standard}
        return to_json(document, inf_nan_mode="null", fallback=str)


def kind_of(error_class: type[domain.ReembedError]) -> Kind:
    """The entry of the class or of its nearest mapped parent."""
    return next(TABLE[parent] for parent in error_class.__mro__ if parent in TABLE)


def of_domain(error: domain.ReembedError) -> Problem:
    kind = kind_of(type(error))
    return Problem(
        code=error.code,
        status=kind.status,
        title=kind.title,
        detail=error.message,
        members=dict(error.details),
        headers=_headers(error, kind),
    )


def of_http(error: http.HTTPException) -> Problem:
    status = error.code or 500
    headers = dict(error.get_headers())  # Allow, above all; the media type becomes ours
    if status not in HTTP_TABLE:
        name = error.name.lower().replace(" ", "-")
        return Problem(name, status, error.name, f"{error.name}.", headers=headers)
    return of_status(status, headers)


def of_status(status: int, headers: dict[str, str] | None = None) -> Problem:
    """The problem of a status that HTTP_TABLE knows."""
    known = HTTP_TABLE[status]
    return Problem(known.code, status, known.title, known.detail, headers=headers or {})


def explain(code: str) -> tuple[int, str, str] | None:
    """Status, title and sentence of a problem; None when there is none of this code."""
    for error_class, kind in TABLE.items():
        if error_class.code == code:
            return kind.status, kind.title, domain.first_sentence(error_class)
    for status, http_kind in HTTP_TABLE.items():
        if http_kind.code == code:
            return status, http_kind.title, http_kind.detail
    return None


def register(app: Flask) -> None:
    app.register_error_handler(domain.ReembedError, answer)
    app.register_error_handler(http.HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_unknown)


def answer(error: domain.ReembedError) -> Response:
    """Its problem document."""
    return noted(error).response()


def noted(error: domain.ReembedError) -> Problem:
    """Its problem, which goes to the log where it is our fault."""
    problem = of_domain(error)
    g.problem = problem.code
    if problem.status >= 500:
        _note(error)
    return problem


def _note(error: domain.ReembedError) -> None:
    # What passes is expected, and a probe may meet it every second: no stack for it.
    stack = None if isinstance(error, domain.TransientError) else error
    _log.warning(
        "request_failed",
        code=error.code,
        error=error.message,
        cause=type(error.__cause__).__name__,
        details=error.details,
        exc_info=stack,
    )


def _answer_http(error: http.HTTPException) -> Response:
    problem = of_http(error)
    g.problem = problem.code
    return problem.response()


def _answer_unknown(error: Exception) -> Response:
    # Its words may hold anything, a password in a URL included: only the log gets them.
    _log.error("request_crashed", exc_info=error)
    return _answer_http(http.InternalServerError())


def _headers(error: domain.ReembedError, kind: Kind) -> dict[str, str]:
    if kind.status == 401:
        # RFC 6750: the error is named only to those who did send a token.
        invalid = ', error="invalid_token"' if "Authorization" in request.headers else ""
        return {"WWW-Authenticate": f'Bearer realm="reembed"{invalid}'}
    if isinstance(error, domain.TransientError):
        wait = error.retry_after_seconds
        return {"Retry-After": str(_RETRY_AFTER_SECONDS if wait is None else math.ceil(wait))}
    if kind.status == 429:
        return {"Retry-After": str(_RETRY_AFTER_MIGRATIONS_SECONDS)}
    return {}
