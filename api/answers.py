"""How a route answers: a schema as JSON, with a Location where something was made."""

from __future__ import annotations

from flask import Response, url_for
from pydantic import BaseModel

from api.schemas import MigrationActionResponse


def answer(body: BaseModel, status: int = 200, *, location: str | None = None) -> Response:
    response = Response(body.model_dump_json(), status, content_type="application/json")
    if location is not None:
        response.headers["Location"] = location
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
