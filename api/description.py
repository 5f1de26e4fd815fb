"""The OpenAPI description, and the page that shows it without any other server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask_openapi3.models.info import Info
from flask_openapi3.models.security_scheme import SecurityScheme
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.types import ResponseDict

from api import parsing, problems
from api.problems import BodyMalformed, RequestInvalid, TooManyRequests
from api.schemas import REQUESTS, RESPONSES, ProblemDetails
from migrations.model.errors import (
    NotAuthenticated,
    ReembedError,
    StateStoreUnavailable,
    first_sentence,
)

_SCHEMA = "#/components/schemas/{model}"

_ABOUT = """\
Moves a live RAG bot from one embedding model to another, and back, while it keeps answering.

Send a token as `Authorization: Bearer <token>`. Errors are problem documents (RFC 9457): their
`type` is a path that explains the problem, their `detail` says what to do.
A token that asks too often is answered 429 with a `Retry-After`.
Times are UTC, durations are seconds. Every answer has an `X-Request-ID`; send one to choose it.
"""

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]

_SCHEMES: dict[str, SecurityScheme | dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token with an owner and a role, user or admin.",
    }
}

_LOCATION = {
    "description": "The path of what was made, or where to watch it.",
    "schema": {"type": "string", "format": "uri-reference"},
}

NOT_MODIFIED: dict[str, Any] = {"description": "What `If-None-Match` names is still so."}

#: Every guarded route may answer with these.
_EVERYWHERE = (NotAuthenticated, TooManyRequests, StateStoreUnavailable)
_WITH_INPUT = (RequestInvalid,)
_WITH_BODY = (BodyMalformed, RequestInvalid)

_SCRIPT = """
window.onload = function () {
    window.ui = SwaggerUIBundle({
        url: new URL("openapi.json", window.location.href).href,
        dom_id: "#swagger-ui",
        deepLinking: true,
        presets: [SwaggerUIBundle.presets.apis],
        layout: "BaseLayout",
        validatorUrl: null
    });
};
"""

#: Relative paths only: the assets come with flask-openapi3-swagger, from below /openapi.
_PAGE = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<title>reembed API</title>
<link rel="icon" href="swagger/images/swagger.svg">
<link rel="stylesheet" href="swagger/css/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="swagger/js/swagger-ui-bundle.js"></script>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


#: Lets the one script above run and no other; Swagger UI sets styles by itself.
DOCUMENTATION_POLICY = (
    "default-src 'none'; "
    f"script-src 'self' 'sha256-{_digest(_SCRIPT)}'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def operation_id(*, name: str, path: str, method: str) -> str:
    """The route's function name: short names for generated clients."""
    return name


def new_app(name: str) -> OpenAPI:
    """An application that describes itself at /openapi, without routes yet."""
    app = OpenAPI(
        name,
        info=Info(title="reembed", version=_version(), description=_ABOUT),
        security_schemes=_SCHEMES,
        operation_id_callback=operation_id,
        # Every route documents "default": nothing is added for validation errors.
        validation_error_status="default",
        validation_error_model=ProblemDetails,
        validation_error_callback=parsing.refuse,
        static_folder=None,
    )
    # Both of the library's pages become ours; it asks a menu in between otherwise.
    app.config["OPENAPI_HTML_STRING"] = app.config["SWAGGER_HTML_STRING"] = _PAGE
    return app


def refusals(*errors: type[ReembedError], body: bool = False, guarded: bool = True) -> ResponseDict:
    """The documented problems of a route, by status, in the words of the error table.

    ``errors`` are those only this route has; the ones every guarded route and
    every route with a body may answer are added.
    """
    everywhere = _EVERYWHERE if guarded else ()
    by_status: dict[str | int | HTTPStatus, list[str]] = {}
    for error in (*errors, *everywhere, *(_WITH_BODY if body else _WITH_INPUT)):
        line = f"`{error.code}`: {first_sentence(error)}"
        by_status.setdefault(problems.kind_of(error).status, []).append(line)
    documented = {status: _problem("\n\n".join(lines)) for status, lines in by_status.items()}
    return {**documented, "default": _problem("Any other problem; its `type` explains it.")}


def complete(app: OpenAPI) -> None:
    """Write the description once all routes are there.

    flask-openapi3's own Schema model leaves out what it does not know (examples,
    among others), so the schemas are taken from pydantic again.
    """
    app.generate_spec_json()  # type: ignore[no-untyped-call]
    spec = app.spec_json
    spec["components"]["schemas"] = _schemas()
    for operation in _operations(spec):
        _tidy(operation)


def _tidy(operation: dict[str, Any]) -> None:
    if "description" in operation:
        # It joins the lines of a docstring by <br/>.
        operation["description"] = operation["description"].replace("<br/>", "\n").strip()
    operation["responses"] = dict(sorted(operation["responses"].items()))
    for status in {"201", "202"} & operation["responses"].keys():
        operation["responses"][status]["headers"] = {"Location": _LOCATION}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": _SCHEMA.format(model=ProblemDetails.__name__)}
    return {
        "description": description,
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
    }


def _schemas() -> dict[str, Any]:
    requests = [model.model_json_schema(ref_template=_SCHEMA) for model in REQUESTS]
    responses = [
        model.model_json_schema(ref_template=_SCHEMA, mode="serialization") for model in RESPONSES
    ]
    schemas: dict[str, Any] = {}
    for schema in [*requests, *responses]:
        schemas |= schema.pop("$defs", {})
        schemas[schema["title"]] = schema
    return dict(sorted(schemas.items()))


def _operations(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in spec["paths"].values():
        yield from path.values()


def _version() -> str:
    try:
        return version("reembed-milvus")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
