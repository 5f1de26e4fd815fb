"""Who may do what: one test for each cell of the table."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.fakes.api_client import BOT, TARGET, Api

MIGRATION = "<migration>"

#: Route by route: method, path, body, then the status for an owner, another user, an admin.
ROUTES = [
    ("POST", "/bots", BOT, 201, 201, 201),
    ("GET", "/bots", None, 200, 200, 200),
    ("GET", "/bots/support", None, 200, 404, 200),
    ("PATCH", "/bots/support", {}, 200, 404, 200),
    ("PATCH", "/bots/support", {"owner": "rival"}, 403, 404, 200),
    ("DELETE", "/bots/support", None, 409, 404, 409),
    ("POST", "/bots/support/embeddings/validate-change", TARGET, 200, 404, 200),
    ("POST", "/bots/support/embeddings/estimate-migration", {}, 200, 404, 200),
    ("POST", "/bots/support/embeddings/start-migration", TARGET, 409, 404, 409),
    ("GET", "/bots/support/embeddings/migration-status", None, 200, 404, 200),
    ("POST", "/bots/support/embeddings/cancel-migration", None, 202, 404, 202),
    ("GET", "/bots/support/embeddings/dimension-info", None, 200, 404, 200),
    ("GET", f"/embeddings/migration/{MIGRATION}/progress", None, 200, 404, 200),
    ("POST", f"/embeddings/migration/{MIGRATION}/rollback", None, 202, 404, 202),
    ("GET", "/embeddings/migrations/active", None, 403, 403, 200),
]
OPEN = ["/healthz", "/readyz", "/openapi/", "/openapi/openapi.json", "/problems/bot-not-found"]

GUARDED = [
    pytest.param(method, path, body, id=f"{method} {path}") for method, path, body, *_ in ROUTES
]
CELLS = [
    pytest.param(method, path, body, token, status, id=f"{method} {path} {token}")
    for method, path, body, *statuses in ROUTES
    for token, status in zip(("acme-token", "rival-token", "admin-token"), statuses, strict=True)
]


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def migration_id(api: Api) -> UUID:
    """The bot has a live migration."""
    return api.start().id


@pytest.mark.parametrize(("method", "path", "body", "token", "status"), CELLS)
def test_each_caller_gets_what_the_table_says(
    api: Api,
    migration_id: UUID,
    method: str,
    path: str,
    body: dict[str, object] | None,
    token: str,
    status: int,
) -> None:
    answer = api.client.open(
        path.replace(MIGRATION, str(migration_id)),
        method=method,
        json=body,
        headers={"Authorization": f"Bearer {token}"},
    )
    assert status == answer.status_code


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer wrong", "Bearer", "Bearer ", "Basic YWNtZTp4", "Token acme-token", "acme-token"],
)
@pytest.mark.parametrize(("method", "path", "body"), GUARDED)
def test_without_a_valid_token_nothing_is_answered(
    api: Api,
    migration_id: UUID,
    method: str,
    path: str,
    body: dict[str, object] | None,
    authorization: str | None,
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    path = path.replace(MIGRATION, str(migration_id))
    answer = api.client.open(path, method=method, json=body, headers=headers)
    assert (401, "/problems/not-authenticated") == (answer.status_code, answer.json["type"])
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="reembed"')
    assert (authorization is not None) == ("invalid_token" in answer.headers["WWW-Authenticate"])


def test_another_owners_bot_cannot_be_told_from_none(api: Api) -> None:
    theirs = api.get("/bots/support", "rival-token").json
    nobodys = api.get("/bots/nothing", "rival-token").json
    same = ("type", "title", "status", "detail")
    assert [nobodys[name] for name in same] == [theirs[name] for name in same]


def test_the_token_is_asked_for_before_the_body_is_read(api: Api) -> None:
    answer = api.post("/bots", None, data=b"{", content_type="application/json")
    assert 401 == answer.status_code


def test_the_scheme_may_be_written_in_any_case(api: Api) -> None:
    answer = api.get("/bots", None, headers={"Authorization": "bearer acme-token"})
    assert 200 == answer.status_code


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_needs_no_token(api: Api, path: str) -> None:
    assert 200 == api.get(path, None).status_code


def test_the_tables_hold_every_route(api: Api) -> None:
    tables = [route[1] for route in ROUTES] + OPEN
    known = {path.replace(MIGRATION, "x").replace("support", "x") for path in tables}
    rules = {rule.rule for rule in api.client.application.url_map.iter_rules()}
    ours = {rule for rule in rules if not rule.startswith("/openapi")}
    shown = {rule.replace("<bot_id>", "x").replace("<migration_id>", "x") for rule in ours}
    shown = {rule.replace("<code>", "bot-not-found") for rule in shown}
    assert shown == {path for path in known if not path.startswith("/openapi")}
