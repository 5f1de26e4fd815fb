"""For Prometheus, which sends a token of its own, or an admin's."""

from __future__ import annotations

import hmac

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api.auth import authenticate, bearer_token, require_admin
from api.description import FOR_ADMINS, operation_id, refusals
from api.metrics import exposition
from api.services import services
from migrations.model.errors import NotAllowed

monitoring = APIBlueprint(
    "monitoring",
    __name__,
    abp_tags=[Tag(name="monitoring", description="For Prometheus.")],
    abp_security=FOR_ADMINS,
    operation_id_callback=operation_id,
)


@monitoring.before_request
def let_in() -> None:
    """Raises NotAuthenticated; NotAllowed for others than admins.

    The token of the settings is compared here and asks PostgreSQL nothing, so that whoever
    sends it hears also that PostgreSQL is away.
    """
    expected = services().settings.metrics_token
    if expected is not None:
        sent = bearer_token().encode("utf-8", "surrogateescape")
        if hmac.compare_digest(sent, expected.get_secret_value().encode()):
            return
    authenticate()
    require_admin()


@monitoring.get(
    "/metrics",
    responses={
        200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."},
        **refusals(NotAllowed),
    },
)
def metrics() -> Response:
    """Say how everything stands, for Prometheus

    Asks for the token in `REEMBED_METRICS_TOKEN`, or an admin's. No id, owner or text is told.
    """
    body, content_type = exposition.written(current_app, request.headers.get("Accept", ""))
    return Response(body, content_type=content_type)
