"""Bots on the page: all that the caller may see, one of them, and taking one under care."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.auth import current_caller
from api.dashboard.blueprints import page, pages
from api.dashboard.forms import Refused, flag, text, to_request, whole
from api.problems import kind_of
from api.schemas import BotRegistrationRequest
from api.services import services
from api.trail import concerns
from api.turns import turn
from migrations.model.errors import ReembedError

_PAGE = 50


@pages.get("/")
def bots() -> Response:
    after = request.args.get("after") or None
    found = services().system.bots(current_caller(), after=after, limit=_PAGE + 1)
    shown = found[:_PAGE]
    return page(
        "bots.html",
        bots=shown,
        latest=services().system.latest_of(shown),
        following=shown[-1].bot_id if len(found) > _PAGE else None,
        after=after,
    )


@pages.get("/bots/<bot_id>")
def bot(bot_id: str) -> Response:
    status = services().system.status(current_caller(), bot_id)
    return page("bot.html", status=status, bot=status.bot)


@pages.get("/register")
def register() -> Response:
    return page("register.html", given={})


@pages.post("/register")
def register_bot() -> AnyResponse:
    given = request.form
    values: dict[str, Any] = {
        "bot_id": text("bot_id"),
        "collection": text("collection"),
        "provider": text("provider"),
        "model": text("model"),
        "dimension": whole("dimension"),
        "alias": text("alias"),
        "text_field": text("text_field"),
        "vector_field": text("vector_field"),
        "adopt_name": flag("adopt_name"),
        "drop_originals": flag("drop_originals"),
    }
    try:
        wish = to_request(BotRegistrationRequest, values).registration()
        concerns(wish.bot_id)
        with turn():
            made = services().system.register_bot(current_caller(), wish)
    except Refused as refused:
        return page("register.html", 422, given=given, errors=refused.sentences)
    except ReembedError as error:
        return page(
            "register.html", kind_of(type(error)).status, given=given, errors=[error.message]
        )
    flash(f"{made.bot_id} is registered.")
    return redirect(url_for("dashboard.bot", bot_id=made.bot_id), 303)
