"""How a route answers: a schema as JSON, with a Location where something was made."""

from __future__ import annotations

import hashlib

from flask import Response, request, url_for
from pydantic import BaseModel

from api.schemas import MigrationActionResponse


def answer(body: BaseModel, status: int = 200, *, location: str | None = None) -> Response:
    response = Response(body.model_dump_json(), status, content_type="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response


def tag_of(body: BaseModel) -> str:
    """A strong validator: equal only if the answers are, byte for byte."""
    return hashlib.sha256(body.model_dump_json().encode()).hexdigest()[:32]


def answer_unless_known(body: BaseModel, cache_control: str) -> Response:
    """200, or 304 where If-None-Match names what would be answered."""
    tag = tag_of(body)
    is_known = request.if_none_match.contains_weak(tag)  # RFC 9110 compares weakly here
    response = Response(status=304) if is_known else answer(body)
    response.set_etag(tag)
    response.headers["Cache-Control"] = cache_control
    return response


def done() -> Response:
    """204: there is nothing to say."""
    return Response(status=204)


def accepted(action: MigrationActionResponse, *, replayed: bool = False) -> Response:
    """202, and where to watch it; a repeated request is answered as the first one was."""
    watch = url_for("migrations.progress", migration_id=action.migration.migration_id)
    response = answer(action, 202, location=watch)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
