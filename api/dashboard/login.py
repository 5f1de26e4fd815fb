"""Logging in and out."""

from __future__ import annotations

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.auth import current_caller
from api.dashboard import assets, roles, session
from api.dashboard.blueprints import door, page
from migrations.model.errors import NotAllowed, NotAuthenticated, TokenEnded

_REFUSED = "Nobody holds this token, or it is good no more."
_EXPIRED = "The login has expired."

door.add_url_rule("/static/<path:filename>", "static_file", assets.static_file)


@door.get("/login")
def login() -> Response:
    why = _EXPIRED if request.args.get("reason") == "expired" else None
    return page("login.html", next=session.safe_next(request.args.get("next")), why=why)


@door.post("/login")
def log_in() -> AnyResponse:
    asked_for = session.safe_next(request.form.get("next"))
    try:
        session.begin(request.form.get("token", "").strip())
        roles.require(current_caller(), "GET")
    except TokenEnded as ended:
        return page("login.html", 401, next=asked_for, error=ended.message)
    except NotAuthenticated:
        return page("login.html", 401, next=asked_for, error=_REFUSED)
    except NotAllowed as error:
        session.end()
        return page("login.html", 403, next=asked_for, error=error.message)
    return redirect(asked_for or url_for("dashboard.bots"), 303)


@door.post("/logout")
def log_out() -> AnyResponse:
    session.end()
    flash("You are logged out.")
    return redirect(url_for("door.login"), 303)
