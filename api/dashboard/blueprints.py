"""The page's two blueprints: the door, open to everybody, and the pages behind it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, g, render_template, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import NotFound

from api.auth import current_caller
from api.dashboard import headers, problems, roles, session
from migrations.model.bots import Caller

csrf = CSRFProtect()

#: Logging in and out, and the files that say nothing of anybody.
door = Blueprint("door", __name__, url_prefix=session.PATH)
#: Each asks who is there first, and of every form whether it is ours.
pages = Blueprint("dashboard", __name__, url_prefix=session.PATH)


@door.before_request
@pages.before_request
def _is_switched_on() -> Response | None:
    if current_app.secret_key or request.endpoint == "door.static_file":
        return None
    return problems.page_of(problems.SWITCHED_OFF)


@pages.before_request
def _who_is_there() -> None:
    session.resume()
    roles.require(current_caller(), request.method)


@door.before_request
@pages.before_request
def _is_our_form() -> None:
    csrf.protect()


for _blueprint in (door, pages):
    _blueprint.after_request(headers.secure_response)
    problems.register(_blueprint)


def may_change() -> bool:
    """Whether who asks may do more than look; else they are shown no form that does."""
    caller = g.get("caller")
    return isinstance(caller, Caller) and roles.may_change(caller)


@pages.route("/<path:anything>")
def _nothing_here(anything: str) -> Response:
    raise NotFound


def page(template: str, status: int = 200, /, **values: Any) -> Response:
    """A page of the guarded ones, with what its frame shows."""
    html = render_template(f"dashboard/{template}", me=g.get("caller"), **values)
    return Response(html, status, content_type="text/html; charset=utf-8")
