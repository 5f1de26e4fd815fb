"""Blueprints that ask for a token before they read anything."""

from __future__ import annotations

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api.auth import authenticate
from api.description import SECURITY, operation_id
from api.parsing import check_body


def guarded_blueprint(name: str, import_name: str, about: str) -> APIBlueprint:
    """A blueprint whose routes can rely on ``current_caller()`` and a well-formed body."""
    blueprint = APIBlueprint(
        name,
        import_name,
        abp_tags=[Tag(name=name, description=about)],
        abp_security=SECURITY,
        operation_id_callback=operation_id,
    )
    blueprint.before_request(authenticate)
    blueprint.before_request(check_body)
    return blueprint
