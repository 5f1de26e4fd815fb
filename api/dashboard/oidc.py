"""Logging in with an identity provider (OpenID Connect), for installations that have one.

Who comes is given a token of their own, as an admin would issue it, for as long as the login
lasts: it is in the list of tokens and in the trail, and revoked like any other. Its text is
thrown away at once; the session keeps its digest, as that of everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import structlog
from flask import Flask, current_app, flash, redirect, request, url_for
from flask import session as cookie
from werkzeug.wrappers import Response as AnyResponse

from api.dashboard import session
from api.dashboard.blueprints import door
from api.services import services
from migrations.model.access import LONGEST_NAME
from migrations.model.bots import Role
from migrations.model.errors import NameInvalid
from migrations.settings import Settings

_log = structlog.get_logger(__name__)

_CLIENT = "reembed.oidc"
_NEXT = "after_oidc"
#: For the provider's answers; somebody waits.
_PATIENCE_SECONDS = 10
_FAILED = "The identity provider has not let you in; the log says why."
_NOBODY = "Nothing that the identity provider says of you lets you in; ask who runs reembed."


class Known(NamedTuple):
    """Who somebody is here."""

    owner: str
    role: Role


def register(app: Flask, settings: Settings) -> None:
    """Nothing where no provider is named."""
    if not settings.oidc_issuer:
        return
    from authlib.integrations.flask_client import OAuth

    issuer = settings.oidc_issuer.rstrip("/")
    secret = settings.oidc_client_secret
    app.extensions[_CLIENT] = OAuth(app).register(
        "oidc",
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_id=settings.oidc_client_id,
        client_secret=secret.get_secret_value() if secret else None,
        client_kwargs={
            "scope": settings.oidc_scope,
            "code_challenge_method": "S256",
            "default_timeout": _PATIENCE_SECONDS,
        },
    )


def is_offered() -> bool:
    return _CLIENT in current_app.extensions


@door.get("/login/oidc")
def ask_provider() -> AnyResponse:
    if not is_offered():
        return redirect(url_for("door.login"), 303)
    cookie[_NEXT] = session.safe_next(request.args.get("next"))
    try:
        answer: AnyResponse = current_app.extensions[_CLIENT].authorize_redirect(_return_address())
    except Exception as error:
        return _refused(_FAILED, error)
    return answer


@door.get("/login/oidc/return")
def come_back() -> AnyResponse:
    if not is_offered():
        return redirect(url_for("door.login"), 303)
    settings = services().settings
    issuers = {"iss": {"essential": True, "values": [settings.oidc_issuer]}}
    try:
        given = current_app.extensions[_CLIENT].authorize_access_token(claims_options=issuers)
    except Exception as error:  # of many kinds: refused there, not signed, not asked for by us
        return _refused(_FAILED, error)
    claims = given.get("userinfo") or {}
    known = known_by(claims, settings)
    if known is None:
        return _refused(_NOBODY)
    asked_for = cookie.get(_NEXT)
    try:
        session.begin(_token_for(known, str(claims.get("sub", ""))))
    except NameInvalid as error:
        return _refused(_NOBODY, error)
    return redirect(asked_for or url_for("dashboard.bots"), 303)


def known_by(claims: Mapping[str, Any], settings: Settings) -> Known | None:
    """By the claims that the settings name: an owner, and the widest role that is mapped."""
    owner = claims.get(settings.oidc_owner_claim)
    told = claims.get(settings.oidc_role_claim)
    values = told if isinstance(told, list) else [told]
    roles = [settings.oidc_roles[value] for value in values if value in settings.oidc_roles]
    if not isinstance(owner, str) or not owner or not roles:
        return None
    return Known(owner, max(roles, key=list(Role).index))


def _token_for(known: Known, subject: str) -> str:
    lasts = timedelta(hours=services().settings.dashboard_session_hours)
    name = f"page, {subject}"[:LONGEST_NAME].strip()
    text, token = services().access.issue(name, known.owner, known.role, lasts)
    _log.info("oidc_login", owner=known.owner, role=known.role.value, token_id=token.id)
    return text


def _refused(sentence: str, error: Exception | None = None) -> AnyResponse:
    _log.warning("oidc_refused", reason=sentence, error=repr(error) if error else None)
    session.end()
    flash(sentence)
    return redirect(url_for("door.login"), 303)


def _return_address() -> str:
    scheme = "https" if services().settings.dashboard_https else None
    return url_for("door.come_back", _external=True, _scheme=scheme)
