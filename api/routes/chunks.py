"""Chunks that applications write through us: never lost at a switch, embedded for them."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, url_for

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    BotPath,
    ChunkDeletionRequest,
    ChunksRequest,
    ChunksWrittenResponse,
    JournalPageQuery,
    JournalResponse,
    WaitQuery,
    WriteOnceHeader,
)
from api.services import services
from api.turns import turn
from migrations.model import errors
from migrations.model.writes import Write
from migrations.writers.journal import Written

chunks = guarded_blueprint("chunks", __name__, "Writing a bot's chunks through us.")

_REFUSALS = (
    errors.BotNotFound,
    errors.WritesUnsupported,
    errors.ChunksInvalid,
    errors.IdempotencyConflict,
    errors.CollectionNotFound,
    errors.JournalFull,
    errors.VectorStoreUnavailable,
)


@chunks.put(
    "/bots/<bot_id>/chunks",
    endpoint="put",
    responses={
        200: ChunksWrittenResponse,
        202: ChunksWrittenResponse,
        **refusals(*_REFUSALS, body=True),
    },
)
def put_chunks(
    path: BotPath, query: WaitQuery, header: WriteOnceHeader, body: ChunksRequest
) -> Response:
    """Write chunks

    Each is as it is told here from now on, whether there was one of its key or not. They are
    kept, all or none, in the order of the requests, and answered 202; applied to the live
    collection, embedded as its documents are, usually within a second. With `wait` it is
    answered 200 when that is done. Never refused because of a migration.
    """
    return _written(path.bot_id, query, header, body.writes())


@chunks.delete(
    "/bots/<bot_id>/chunks",
    endpoint="delete",
    responses={
        200: ChunksWrittenResponse,
        202: ChunksWrittenResponse,
        **refusals(*_REFUSALS, body=True),
    },
)
def delete_chunks(
    path: BotPath, query: WaitQuery, header: WriteOnceHeader, body: ChunkDeletionRequest
) -> Response:
    """Delete chunks

    Kept and applied as what is written is. A key that is not there is no mistake.
    """
    return _written(path.bot_id, query, header, body.writes())


@chunks.get(
    "/bots/<bot_id>/chunks/journal",
    endpoint="journal",
    responses={200: JournalResponse, **refusals(errors.BotNotFound)},
)
def get_journal(path: BotPath, query: JournalPageQuery) -> Response:
    """See how far what was written is applied, and what could not be done

    A write that could not be done stands here until its key is written again, or for a week.
    """
    journal, failed = services().writers.journal(
        current_caller(), path.bot_id, after=query.after, limit=query.limit + 1
    )
    return answer(JournalResponse.of(path.bot_id, journal, failed, query.limit))


def _written(
    bot_id: str, query: WaitQuery, header: WriteOnceHeader, writes: Sequence[Write]
) -> Response:
    written = services().writers.write(current_caller(), bot_id, writes, header.idempotency_key)
    if query.wait:
        written = _waited(written, query.wait)
    watch = url_for("chunks.journal", bot_id=bot_id)
    status = 200 if written.is_applied else 202
    response = answer(ChunksWrittenResponse.of(written), status, location=watch)
    if written.appended.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _waited(written: Written, seconds: float) -> Written:
    """They are kept: who may not wait is told so, and is not refused."""
    try:
        with turn():
            return services().writers.applied(written, seconds)
    except (errors.TooManyAtOnce, errors.StateStoreUnavailable):
        return written
