"""Blueprints that ask for a token before they read anything."""

from __future__ import annotations

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api.auth import authenticate, require_admin, require_role
from api.description import FOR_ADMINS, SECURITY, operation_id
from api.parsing import check_body


def guarded_blueprint(name: str, import_name: str, about: str) -> APIBlueprint:
    """A blueprint whose routes can rely on ``current_caller()`` and a well-formed body.

    Which roles may call each of them, :mod:`api.allowed` says.
    """
    blueprint = _blueprint(name, import_name, about, SECURITY)
    blueprint.before_request(authenticate)
    blueprint.before_request(require_role)
    blueprint.before_request(check_body)
    return blueprint


def admin_blueprint(name: str, import_name: str, about: str) -> APIBlueprint:
    """The same, for admins alone; others are refused before their body is read."""
    blueprint = _blueprint(name, import_name, about, FOR_ADMINS)
    blueprint.before_request(authenticate)
    blueprint.before_request(require_admin)
    blueprint.before_request(check_body)
    return blueprint


def _blueprint(
    name: str, import_name: str, about: str, security: list[dict[str, list[str]]]
) -> APIBlueprint:
    return APIBlueprint(
        name,
        import_name,
        abp_tags=[Tag(name=name, description=about)],
        abp_security=security,
        operation_id_callback=operation_id,
    )
