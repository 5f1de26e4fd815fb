"""Who uses the page: a signed cookie that names a token and opens nothing by itself.

The cookie holds the token's SHA-256, by which the token is looked up with every request: one
that is revoked, expired or given another role is so at once. Neither the cookie without the
key that signs it, nor that key without the database, lets anybody in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from flask import Flask, request, session

from api.auth import become
from api.dashboard.problems import LoginExpired
from api.services import services
from migrations.bots.tokens import digest
from migrations.model.bots import Caller
from migrations.model.errors import NotAuthenticated
from migrations.settings import Settings

COOKIE = "reembed_dashboard"
PATH = "/dashboard"
_DIGEST, _ENDS = "token_sha256", "ends_at"


def configure(app: Flask, settings: Settings, key: str) -> None:
    """How Flask makes the cookie."""
    app.secret_key = key
    app.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_PATH=PATH,
        SESSION_COOKIE_HTTPONLY=True,
        # A link in a chat leads to where it points; forms carry a token of their own.
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.dashboard_https,
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.dashboard_session_hours),
    )


def begin(token: str) -> None:
    """Log in; what was in the cookie before is forgotten. Raises NotAuthenticated."""
    become(services().access.authenticate(token))
    session.clear()
    session.permanent = True
    session[_DIGEST] = digest(token)
    session[_ENDS] = time.time() + 3600 * services().settings.dashboard_session_hours


def resume() -> None:
    """Give the request its caller.

    Raises:
        NotAuthenticated: nobody has logged in, or the token is good no more.
        LoginExpired: it was too long ago.
    """
    known = session.get(_DIGEST)
    if not isinstance(known, str):
        raise NotAuthenticated
    if time.time() > float(session.get(_ENDS, 0)):
        end()
        raise LoginExpired
    try:
        become(services().access.recognise(known))
    except NotAuthenticated:
        end()
        raise


def still_good() -> Callable[[], Caller]:
    """Who has logged in with this request's cookie, asked again when it is over.

    What it gives raises NotAuthenticated.
    """
    access, known, ends_at = services().access, str(session[_DIGEST]), float(session[_ENDS])

    def recognised() -> Caller:
        if time.time() > ends_at:
            raise NotAuthenticated
        return access.recognise(known)

    return recognised


def end() -> None:
    session.clear()


def who_asks() -> str | None:
    """The digest that the cookie names, good or not; for counting requests."""
    known = session.get(_DIGEST)
    return known if isinstance(known, str) else None


def safe_next(asked: str | None) -> str | None:
    """Where to go after logging in: a path of the page, and never another site."""
    plain = asked is not None and asked.isprintable() and "\\" not in asked
    return asked if asked and plain and asked.startswith(f"{PATH}/") and "//" not in asked else None


def here() -> str:
    """What was asked for, where it can be asked for again."""
    if request.method != "GET":
        return f"{PATH}/"
    return request.full_path.rstrip("?")
