"""Migrations now and past."""

from __future__ import annotations

from flask import Response

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import MigrationListQuery, MigrationListResponse
from api.services import services
from migrations.model import errors

history = guarded_blueprint("history", __name__, "What there was, and what happens.")


@history.get(
    "/embeddings/migrations",
    responses={
        200: MigrationListResponse,
        **refusals(errors.NotAllowed, errors.CursorInvalid),
    },
)
def list_migrations(query: MigrationListQuery) -> Response:
    """List migrations now and past

    The caller's own, an admin's are all; the newest first unless it is asked otherwise. More than
    `limit` come in pages, see `next_cursor`.
    """
    page = services().history.runs(current_caller(), query.search())
    return answer(MigrationListResponse.of(page))
