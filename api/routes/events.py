"""What has happened in a migration, and happens: in pages, or as a stream."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Flask, Response, current_app, request

from api.answers import answer, done
from api.auth import bearer_token, current_caller
from api.description import refusals
from api.problems import TooManyStreams
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    EventItem,
    EventPageQuery,
    EventsResponse,
    LastEventHeader,
    MigrationPath,
    MigrationProgressResponse,
)
from api.services import services_of
from api.streams import MEDIA_TYPE, Stream, block, open_stream
from migrations.model import errors
from migrations.model.history import Look

events = guarded_blueprint("events", __name__, "What happens in a migration.")

_EITHER: dict[str, Any] = {
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/EventsResponse"}},
        MEDIA_TYPE: {},
    },
    "description": "A page of events as JSON, or a stream of them.",
}


@events.get(
    "/embeddings/migration/<migration_id>/events",
    endpoint="events",
    responses={
        200: _EITHER,
        204: {"description": "Of a stream: the migration is over, and all of it is known."},
        **refusals(errors.MigrationNotFound, TooManyStreams),
    },
)
def get_events(path: MigrationPath, header: LastEventHeader, query: EventPageQuery) -> Response:
    """See what has happened in a migration, and follow it

    As JSON a page of events, each with a sentence. With `Accept: text/event-stream` a stream of
    server-sent events (`event: happened` has an event, `event: progress` how far it is, as the
    progress route has it, whenever that is another than a second before) which ends with
    `event: end` when the migration is over. A lost stream goes on by `Last-Event-ID`.
    """
    here = current_app._get_current_object()  # type: ignore[attr-defined]
    accepts = request.accept_mimetypes.best_match(["application/json", MEDIA_TYPE])
    if accepts == MEDIA_TYPE:
        after = query.after if header.last_event_id is None else header.last_event_id
        response = _stream(here, path.migration_id, after)
    else:
        seen, caller = services_of(here).history, current_caller()
        found = seen.events(caller, path.migration_id, query.after, query.limit + 1)
        response = answer(EventsResponse.of(found, query.limit))
    response.headers["Vary"] = "Accept"
    return response


def _stream(app: Flask, migration_id: UUID, after: int) -> Response:
    given, token, caller = services_of(app), bearer_token(), current_caller()
    given.history.require_seen(caller, migration_id)

    def may_go_on() -> bool:
        try:
            given.history.require_seen(given.access.authenticate(token), migration_id)
        except (errors.NotAuthenticated, errors.MigrationNotFound):
            return False
        return True

    first = given.history.look(migration_id, after)
    if first.is_over and after and not first.events:
        return done()  # a browser comes again after the end, until it is told so
    stream = Stream(migration_id, after, _Teller(app), may_go_on, caller.owner)
    return open_stream(first, stream)


class _Teller:
    """What is new in each look, as the routes show it."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._last = ""

    def __call__(self, look: Look) -> str:
        told = [
            block("happened", EventItem.of(event).model_dump_json(), event.id)
            for event in look.events
        ]
        with self._app.test_request_context():  # which paths are made in
            progress = MigrationProgressResponse.of(look.progress).model_dump_json()
        if progress != self._last:
            told.append(block("progress", progress))
        self._last = progress
        if look.is_over:
            told.append(block("end", f'{{"status":"{look.progress.status}"}}'))
        return "".join(told)
