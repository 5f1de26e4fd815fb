"""Collections that bots have left: see them, keep them longer, have them dropped now."""

from __future__ import annotations

from flask import Response, url_for

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    KeepRequest,
    KeptCollectionItem,
    KeptDropResponse,
    KeptListResponse,
    KeptPageQuery,
    KeptPath,
)
from api.services import services
from api.turns import turn
from migrations.model import errors

kept = guarded_blueprint("kept", __name__, "Collections that bots have left.")


@kept.get("/kept-collections", responses={200: KeptListResponse, **refusals(errors.BotNotFound)})
def list_kept(query: KeptPageQuery) -> Response:
    """List kept collections

    Targets of runs that were undone, previous collections whose way back has closed, and
    originals that stay. The caller's own; an admin's are all.
    """
    page = services().left_behind.kept(
        current_caller(), bot_id=query.bot_id, after=query.cursor, limit=query.limit
    )
    return answer(KeptListResponse.of(page))


@kept.patch(
    "/kept-collections/<collection>",
    responses={200: KeptCollectionItem, **refusals(errors.KeptNotFound, body=True)},
)
def keep(path: KeptPath, body: KeepRequest) -> Response:
    """Keep a collection longer, or for good

    The time counts from now. An original that stays does so anyway.
    """
    hours = None if body.for_good else body.hours
    found = services().left_behind.keep(current_caller(), path.collection, hours)
    return answer(KeptCollectionItem.of(found))


@kept.delete(
    "/kept-collections/<collection>",
    responses={
        202: KeptDropResponse,
        **refusals(
            errors.KeptNotFound,
            errors.OriginalStays,
            errors.CollectionInUse,
            errors.StillRead,
            errors.TooManyAtOnce,
        ),
    },
)
def drop_kept(path: KeptPath) -> Response:
    """Have a kept collection dropped now

    By a worker, under the same locks and after the same questions as when its time had come: what
    a bot answers from or may go back to, what an alias points to and what somebody has written to
    is not dropped. An original only where its bot lets originals be dropped. Sent again, it is
    answered as the first time, or 404 once it is gone.
    """
    with turn():
        let_go = services().left_behind.drop(current_caller(), path.collection)
    where = url_for("kept.list_kept", bot_id=let_go.bot_id)
    return answer(KeptDropResponse.of(let_go), 202, location=where)
