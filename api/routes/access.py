"""Who may do what: for admins."""

from __future__ import annotations

from flask import Response, url_for

from api.answers import answer, done
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import admin_blueprint
from api.schemas import GrantItem, GrantListResponse, GrantPath, GrantRequest
from api.services import services
from migrations.model import errors

access = admin_blueprint("access", __name__, "Who may do what (admin).")


@access.post(
    "/grants",
    responses={201: GrantItem, **refusals(errors.NotAllowed, errors.NameInvalid, body=True)},
)
def grant_collections(body: GrantRequest) -> Response:
    """Let an owner register collections (admin)

    Given again, it is answered with the grant that is there.
    """
    given = services().grants.grant(body.owner, body.pattern, by=current_caller().owner)
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
