"""Late writes that were not taken over: see them, and say that they are judged."""

from __future__ import annotations

from flask import Response

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    BotPath,
    ConflictPageQuery,
    ConflictsResponse,
    SettledResponse,
    SettleRequest,
)
from api.services import services
from migrations.model import errors

conflicts = guarded_blueprint("conflicts", __name__, "Late writes for a person to judge.")


@conflicts.get(
    "/bots/<bot_id>/conflicts",
    responses={200: ConflictsResponse, **refusals(errors.BotNotFound, errors.CursorInvalid)},
)
def list_conflicts(path: BotPath, query: ConflictPageQuery) -> Response:
    """List what was written to an old collection and not taken over

    Over all migrations of the bot, the newest first, each with what was written.
    """
    page = services().left_behind.conflicts(
        current_caller(),
        path.bot_id,
        migration_id=query.migration_id,
        after=query.after,
        limit=query.limit,
    )
    return answer(ConflictsResponse.of(page))


@conflicts.delete(
    "/bots/<bot_id>/conflicts",
    responses={200: SettledResponse, **refusals(errors.BotNotFound, body=True)},
)
def settle_conflicts(path: BotPath, body: SettleRequest) -> Response:
    """Say that conflicts are judged

    They are forgotten, and status and warnings count those that are left. No chunk is changed:
    whoever wants what was written writes it, or has written it before.
    """
    settled = services().left_behind.settle(current_caller(), path.bot_id, body.keys or None)
    return answer(SettledResponse(settled=settled))
