"""From a bearer token to a caller, once per request and before anything else is read."""

from __future__ import annotations

import structlog
from flask import g, request

from api import allowed
from api.services import services
from migrations.model.bots import Caller
from migrations.model.errors import NotAuthenticated


def authenticate() -> None:
    """Give the request its caller.

    Raises:
        NotAuthenticated: no bearer token was sent, or nobody holds it.
    """
    become(services().access.authenticate(bearer_token()))


def become(caller: Caller) -> None:
    """The request is this caller's from here on, in the log and the trail, too."""
    g.caller = caller
    structlog.contextvars.bind_contextvars(owner=caller.owner, token_id=caller.token_id)


def require_role() -> None:
    """Refuse a token that is not for the route of this request. Raises NotAllowed."""
    rule = request.url_rule.rule if request.url_rule else ""
    current_caller().require(allowed.roles_of(request.method, rule))


def require_admin() -> None:
    """Raises NotAllowed."""
    current_caller().require_admin()


def current_caller() -> Caller:
    caller = g.caller
    assert isinstance(caller, Caller)  # noqa: S101 -- set by authenticate or the request has ended
    return caller


def bearer_token() -> str:
    """As it was sent. Raises NotAuthenticated."""
    sent = request.authorization
    if sent is None or sent.type != "bearer" or not sent.token:
        raise NotAuthenticated
    return sent.token
