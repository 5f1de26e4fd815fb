"""The page at ``/dashboard``: what the API answers, for people, as HTML that needs no script.

It calls the use cases as the routes do, with the caller of a session instead of a bearer token.
"""

from __future__ import annotations

from flask import Flask
from flask_limiter import Limiter

from api.dashboard import (
    bots,
    changes,
    conflicts,
    kept,
    login,
    migrations,
    oidc,
    session,
    starting,
    steering,
    workers,
)
from api.dashboard.assets import asset
from api.dashboard.blueprints import csrf, door, may_change, pages
from api.dashboard.flower import flower_address
from api.dashboard.wording import FILTERS
from api.limits import limit_of_posts, limit_of_tokens
from api.services import services
from migrations.settings import Settings

__all__ = [
    "bots",
    "changes",
    "conflicts",
    "kept",
    "login",
    "migrations",
    "register",
    "starting",
    "steering",
    "workers",
]


def register(app: Flask, limiter: Limiter, settings: Settings) -> None:
    """All pages; without a key that signs its cookies each says that the page is switched off."""
    key = settings.page_key
    if key is not None:
        session.configure(app, settings, key)
    app.config.update(
        WTF_CSRF_CHECK_DEFAULT=False,  # the API's callers send a bearer token, and no cookie
        WTF_CSRF_TIME_LIMIT=None,  # as long as the login
        WTF_CSRF_SSL_STRICT=False,  # a browser that is told to send no referrer sends none
    )
    csrf.init_app(app)
    oidc.register(app, settings)
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals.update(
        asset=asset,
        flower_address=flower_address,
        may_change=may_change,
        oidc_is_offered=oidc.is_offered,
    )
    limit_of_tokens(limiter, pages, session.who_asks)
    limit_of_posts(limiter, door, _attempts)
    app.register_blueprint(door)
    app.register_blueprint(pages)


def _attempts() -> int:
    return services().settings.dashboard_logins_per_minute
