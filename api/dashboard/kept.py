"""One kept collection: what becomes of it, and keeping it longer or having it dropped now."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.auth import current_caller
from api.dashboard.blueprints import page, pages
from api.dashboard.forms import Refused, decimal, to_request
from api.problems import kind_of
from api.schemas import KeepRequest
from api.services import services
from api.turns import turn
from migrations.model.errors import KeptNotFound, ReembedError
from migrations.model.left_behind import KeptCollection

_ONE = "/bots/<bot_id>/kept/<collection>"
#: A bot has a few.
_ALL = 1000


@pages.get(_ONE)
def kept(bot_id: str, collection: str) -> Response:
    return _shown(_found(bot_id, collection))


@pages.post(f"{_ONE}/keep")
def keep(bot_id: str, collection: str) -> AnyResponse:
    def longer(one: KeptCollection) -> str:
        for_good = request.form.get("until") == "for_good"
        values = {"for_good": True} if for_good else {"hours": decimal("hours")}
        wish = to_request(KeepRequest, values)
        hours = None if wish.for_good else wish.hours
        services().left_behind.keep(current_caller(), one.collection, hours)
        return f"{one.collection} is kept longer."

    return _done(bot_id, collection, longer)


@pages.post(f"{_ONE}/drop")
def drop(bot_id: str, collection: str) -> AnyResponse:
    def gone(one: KeptCollection) -> str:
        with turn():
            services().left_behind.drop(current_caller(), one.collection)
        return f"{one.collection} is dropped by a worker as soon as may be."

    return _done(bot_id, collection, gone)


def _done(bot_id: str, collection: str, do: Callable[[KeptCollection], str]) -> AnyResponse:
    one = _found(bot_id, collection)
    try:
        flash(do(one))
    except Refused as refused:
        return _shown(one, 422, refused.sentences)
    except ReembedError as error:
        return _shown(one, kind_of(type(error)).status, [error.message])
    return redirect(url_for("dashboard.bot", bot_id=bot_id), 303)


def _found(bot_id: str, collection: str) -> KeptCollection:
    """Raises BotNotFound, KeptNotFound."""
    held = services().left_behind.kept(current_caller(), bot_id=bot_id, limit=_ALL)
    for one in held.kept:
        if one.collection == collection:
            return one
    raise KeptNotFound


def _shown(one: KeptCollection, status: int = 200, errors: list[str] | None = None) -> Response:
    return page("kept.html", status, kept=one, errors=errors, given=request.form)
