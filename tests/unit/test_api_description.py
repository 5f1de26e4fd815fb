"""The OpenAPI description is complete, valid and shown without any other server."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from api import create_app
from tests.fakes.api_client import Api

OPERATIONS = {
    "POST /bots": 201,
    "GET /bots": 200,
    "GET /bots/{bot_id}": 200,
    "PATCH /bots/{bot_id}": 200,
    "DELETE /bots/{bot_id}": 200,
    "PUT /bots/{bot_id}/golden-queries": 200,
    "GET /bots/{bot_id}/golden-queries": 200,
    "DELETE /bots/{bot_id}/golden-queries": 200,
    "GET /bots/{bot_id}/chunks/journal": 200,
    "GET /bots/{bot_id}/embeddings/live": 200,
    "POST /bots/{bot_id}/search": 200,
    "POST /bots/{bot_id}/embeddings/validate-change": 200,
    "POST /bots/{bot_id}/embeddings/diagnose": 200,
    "POST /bots/{bot_id}/embeddings/estimate-migration": 200,
    "POST /bots/{bot_id}/trial": 200,
    "POST /bots/{bot_id}/embeddings/start-migration": 202,
    "GET /bots/{bot_id}/embeddings/migration-status": 200,
    "POST /bots/{bot_id}/embeddings/cancel-migration": 202,
    "GET /bots/{bot_id}/embeddings/dimension-info": 200,
    "GET /embeddings/migration/{migration_id}/progress": 200,
    "GET /embeddings/migration/{migration_id}/keys": 200,
    "GET /embeddings/migration/{migration_id}/report": 200,
    "POST /embeddings/migration/{migration_id}/rollback": 202,
    "POST /embeddings/migration/{migration_id}/switch": 202,
    "GET /embeddings/migrations": 200,
    "POST /embeddings/migration/{migration_id}/pause": 202,
    "POST /embeddings/migration/{migration_id}/resume": 202,
    "POST /embeddings/migration/{migration_id}/extend": 202,
    "POST /embeddings/migration/{migration_id}/throttle": 202,
    "DELETE /embeddings/migration/{migration_id}/throttle": 202,
    "POST /embeddings/migration/{migration_id}/retry": 202,
    "GET /embeddings/migrations/active": 200,
    "GET /embeddings/migration/{migration_id}/spend": 200,
    "GET /bots/{bot_id}/spend": 200,
    "GET /spend": 200,
    "GET /bots/{bot_id}/conflicts": 200,
    "DELETE /bots/{bot_id}/conflicts": 200,
    "GET /kept-collections": 200,
    "PATCH /kept-collections/{collection}": 200,
    "DELETE /kept-collections/{collection}": 202,
    "POST /v1/embeddings": 200,
    "GET /v1/models": 200,
    "GET /v1/models/{model}": 200,
    "GET /paces": 200,
    "DELETE /paces/{provider}": 204,
    "POST /grants": 201,
    "GET /grants": 200,
    "DELETE /grants/{grant_id}": 204,
    "POST /tokens": 201,
    "GET /tokens": 200,
    "POST /tokens/{token_id}/rotate": 201,
    "DELETE /tokens/{token_id}": 204,
    "GET /trail": 200,
    "GET /workers": 200,
    "GET /metrics": 200,
    "GET /doctor": 200,
    "GET /healthz": 200,
    "GET /healthz/deep": 200,
    "GET /readyz": 200,
    "GET /problems/{code}": 200,
}
#: Answered by either: when it is done, and when it will be.
EITHER = {"PUT /bots/{bot_id}/chunks", "DELETE /bots/{bot_id}/chunks"}
OPEN = {"GET /healthz", "GET /healthz/deep", "GET /readyz", "GET /problems/{code}"}
#: Ended by the one or the other.
STREAMS = {"GET /embeddings/migration/{migration_id}/events"}
SCHEMAS = {
    "ActiveMigrationsResponse",
    "BotChangeRequest",
    "BotListResponse",
    "BotRegistrationRequest",
    "BotRemovalResponse",
    "BotResponse",
    "DimensionInfoResponse",
    "EmbeddingValidationRequest",
    "EmbeddingValidationResponse",
    "LiveResponse",
    "MigrationActionResponse",
    "MigrationEstimateRequest",
    "MigrationEstimateResponse",
    "MigrationProgressResponse",
    "MigrationStartRequest",
    "MigrationStatusResponse",
    "ProblemDetails",
}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    described: dict[str, Any] = Api().get("/openapi/openapi.json", None).json
    return described


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_the_description_is_valid_openapi(spec: dict[str, Any]) -> None:
    validate(spec)


def test_every_application_describes_the_same(spec: dict[str, Any]) -> None:
    assert spec == create_app(Api().services).test_client().get("/openapi/openapi.json").json


def test_every_operation_is_described_with_its_success(spec: dict[str, Any]) -> None:
    described = {
        name: [int(status) for status in operation["responses"] if status.startswith("2")]
        for name, operation in operations(spec)
    }
    either = {name: described.pop(name) for name in EITHER}
    assert {name: [200, 202] for name in EITHER} == either
    assert {name: [200, 204] for name in STREAMS} == {n: described.pop(n) for n in STREAMS}
    assert {name: [status] for name, status in OPERATIONS.items()} == described


def test_every_operation_says_which_problems_it_answers(spec: dict[str, Any]) -> None:
    for name, operation in operations(spec):
        for status, response in operation["responses"].items():
            if not status.startswith(("2", "304")):
                # Clients of OpenAI expect its own shape.
                kind = "application/json" if "/v1/" in name else "application/problem+json"
                assert [kind] == list(response["content"]), (name, status)
        assert "default" in operation["responses"], name


def test_every_guarded_operation_asks_for_a_token(spec: dict[str, Any]) -> None:
    assert "bearer" == spec["components"]["securitySchemes"]["bearer"]["scheme"]
    secured = {name for name, operation in operations(spec) if "security" in operation}
    assert set(OPERATIONS) - OPEN | EITHER | STREAMS == secured
    refused = {name for name, operation in operations(spec) if "401" in operation["responses"]}
    assert secured == refused


def test_every_guarded_operation_says_which_roles_it_is_for(spec: dict[str, Any]) -> None:
    roles = {
        name: [role for one in operation["security"] for role in one["bearer"]]
        for name, operation in operations(spec)
        if "security" in operation
    }
    assert ["query", "user", "admin"] == roles["POST /bots/{bot_id}/search"]
    assert ["read", "user", "admin"] == roles["GET /bots/{bot_id}"]
    assert ["user", "admin"] == roles["POST /bots/{bot_id}/embeddings/start-migration"]
    assert ["admin"] == roles["GET /tokens"] == roles["GET /embeddings/migrations/active"]
    for name, operation in operations(spec):
        if name in roles:
            assert operation["description"].endswith(f"Roles: {', '.join(roles[name])}."), name


def test_what_a_start_may_refuse_is_documented_in_words(spec: dict[str, Any]) -> None:
    start = spec["paths"]["/bots/{bot_id}/embeddings/start-migration"]["post"]
    assert {"202", "400", "401", "403", "404", "409", "422", "429", "502", "503", "default"} == set(
        start["responses"]
    )
    assert "`same-model`: The bot uses this model" in start["responses"]["422"]["description"]
    assert ["Idempotency-Key", "bot_id"] == [one["name"] for one in start["parameters"]]
    assert "Location" in start["responses"]["202"]["headers"]


def test_a_body_is_required_only_where_a_field_is(spec: dict[str, Any]) -> None:
    required = {
        name: operation["requestBody"]["required"]
        for name, operation in operations(spec)
        if "requestBody" in operation
    }
    optional = {name.rsplit("/", 1)[1] for name, needed in required.items() if not needed}
    assert {"estimate-migration", "cancel-migration", "rollback", "rotate", "switch"} | {
        *("pause", "resume", "retry"),
    } == optional


def test_the_schemas_have_the_promised_names(spec: dict[str, Any]) -> None:
    assert set() == SCHEMAS - set(spec["components"]["schemas"])


def test_every_field_has_a_description_and_an_example(spec: dict[str, Any]) -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in spec["components"]["schemas"].items()
        for field, shown in schema.get("properties", {}).items()
        if not (shown.get("description") and shown.get("examples"))
    ]
    assert [] == bare


def test_every_parameter_has_a_description_and_an_example(spec: dict[str, Any]) -> None:
    bare = [
        f"{name} {parameter['name']}"
        for name, operation in operations(spec)
        for parameter in operation.get("parameters", [])
        if not (parameter.get("description") and parameter.get("example"))
    ]
    assert [] == bare


def test_requests_say_that_unknown_fields_are_refused(spec: dict[str, Any]) -> None:
    requests = {n: s for n, s in spec["components"]["schemas"].items() if n.endswith("Request")}
    del requests["EmbeddingsRequest"]  # clients of OpenAI send what others may know
    assert {False} == {schema["additionalProperties"] for schema in requests.values()}
    assert 21 == len(requests)


def test_no_markup_of_the_library_is_left(spec: dict[str, Any]) -> None:
    assert "<br" not in str(spec)


def test_the_page_loads_only_what_we_serve_ourselves() -> None:
    api = Api()
    page = api.get("/openapi/", None)
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert 3 == len(assets)
    assert {200} == {_status(api, f"/openapi/{asset}") for asset in assets}
    assert page.text == api.get("/openapi/swagger", None).text


def _status(api: Api, path: str) -> int:
    with api.get(path, None) as answer:  # holds a file
        return answer.status_code


def test_the_pages_script_is_the_only_one_its_policy_allows() -> None:
    page = Api().get("/openapi/", None)
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"]
    assert f"script-src 'self' 'sha256-{digest}';" in policy


def test_openapi_without_a_slash_leads_to_the_page() -> None:
    answer = Api().get("/openapi", None)
    assert (308, True) == (answer.status_code, answer.headers["Location"].endswith("/openapi/"))
