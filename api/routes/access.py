"""Who may do what, and who did: for admins."""

from __future__ import annotations

from datetime import timedelta

from flask import Response, url_for

from api.answers import answer, done
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import admin_blueprint
from api.schemas import (
    GrantItem,
    GrantListResponse,
    GrantPath,
    GrantRequest,
    TokenIssuedResponse,
    TokenIssueRequest,
    TokenListResponse,
    TokenPath,
    TokenRotateRequest,
    TrailQuery,
    TrailResponse,
)
from api.services import services
from api.trail import concerns
from migrations.model import errors
from migrations.model.access import Token

access = admin_blueprint("access", __name__, "Who may do what, and who did (admin).")


@access.post(
    "/grants",
    responses={201: GrantItem, **refusals(errors.NotAllowed, errors.NameInvalid, body=True)},
)
def grant_collections(body: GrantRequest) -> Response:
    """Let an owner register collections (admin)

    Given again, it is answered with the grant that is there.
    """
    given = services().grants.grant(body.owner, body.pattern, by=current_caller().owner)
    concerns(given.id)
    location = url_for("access.revoke_grant", grant_id=given.id)
    return answer(GrantItem.of(given), 201, location=location)


@access.get(
    "/grants",
    endpoint="grants",
    responses={200: GrantListResponse, **refusals(errors.NotAllowed)},
)
def list_grants() -> Response:
    """List every owner's grants (admin)"""
    return answer(GrantListResponse.of(services().grants.all()))


@access.delete(
    "/grants/<grant_id>",
    endpoint="revoke_grant",
    responses={204: None, **refusals(errors.NotAllowed, errors.GrantNotFound)},
)
def revoke_grant(path: GrantPath) -> Response:
    """Take a grant back (admin)

    Bots that were registered by it stay.
    """
    services().grants.revoke(path.grant_id)
    return done()


@access.post(
    "/tokens",
    responses={
        201: TokenIssuedResponse,
        **refusals(errors.NotAllowed, errors.NameInvalid, body=True),
    },
)
def issue_token(body: TokenIssueRequest) -> Response:
    """Issue a token (admin)

    Its text is in this answer and nowhere else.
    """
    return _issued(*services().access.issue(body.name, body.owner, body.role, body.lasts))


@access.get(
    "/tokens",
    endpoint="tokens",
    responses={200: TokenListResponse, **refusals(errors.NotAllowed)},
)
def list_tokens() -> Response:
    """List every token, also those that are good no more (admin)"""
    return answer(TokenListResponse.of(services().access.all()))


@access.post(
    "/tokens/<token_id>/rotate",
    endpoint="rotate_token",
    responses={
        201: TokenIssuedResponse,
        **refusals(errors.NotAllowed, errors.TokenNotFound, errors.TokenRevoked, body=True),
    },
)
def rotate_token(path: TokenPath, body: TokenRotateRequest) -> Response:
    """Replace a token by a new one of the same name, owner and role (admin)"""
    keep_old = timedelta(seconds=body.keep_old_seconds)
    return _issued(*services().access.rotate(path.token_id, body.lasts, keep_old))


def _issued(text: str, token: Token) -> Response:
    concerns(token.id)
    location = url_for("access.revoke_token", token_id=token.id)
    return answer(TokenIssuedResponse.issued(text, token), 201, location=location)


@access.delete(
    "/tokens/<token_id>",
    endpoint="revoke_token",
    responses={204: None, **refusals(errors.NotAllowed, errors.TokenNotFound)},
)
def revoke_token(path: TokenPath) -> Response:
    """Revoke a token, from the next request on (admin)"""
    services().access.revoke(path.token_id)
    return done()


@access.get(
    "/trail",
    endpoint="trail",
    responses={200: TrailResponse, **refusals(errors.NotAllowed)},
)
def read_trail(query: TrailQuery) -> Response:
    """See which token did what, from where, the newest first (admin)

    Whatever changed something has an entry of its own; what was only read, or refused, has
    one a minute for each token, address, route, subject and status.
    """
    found = services().trail.read(query.search())
    return answer(TrailResponse.of(found, query.limit))
