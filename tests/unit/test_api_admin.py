"""What an admin says over HTTP about who may do what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.api_client import BOT, Api

ADMIN, RIVAL = "admin-token", "rival-token"
GRANT = {"owner": "rival", "pattern": "doc*"}


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_user_registers_what_an_admin_has_granted_and_no_more_once_it_is_revoked(
    api: Api,
) -> None:
    refused = api.post("/bots", RIVAL, json=BOT)
    assert (403, "/problems/collection-not-granted") == (refused.status_code, refused.json["type"])
    given = api.post("/grants", ADMIN, json=GRANT)
    assert (201, "x") == (given.status_code, given.json["granted_by"])
    assert 201 == api.post("/bots", RIVAL, json=BOT).status_code
    assert 204 == api.delete(given.headers["Location"], ADMIN).status_code
    api.world.vectors.seed("documents", [], 8)
    second = BOT | {"bot_id": "second", "collection": "documents"}
    assert 403 == api.post("/bots", RIVAL, json=second).status_code
    assert 200 == api.get("/bots/new-bot", RIVAL).status_code


def test_grants_are_listed_and_one_given_twice_is_one(api: Api) -> None:
    first, again = (api.post("/grants", ADMIN, json=GRANT).json for _ in range(2))
    assert first == again
    shown = api.get("/grants", ADMIN).json
    assert shown["count"] == len(shown["grants"])
    assert [first] == [grant for grant in shown["grants"] if grant["owner"] == "rival"]


@pytest.mark.parametrize("number", ["404", "0", "-1", "9" * 30, "x"])
def test_a_grant_that_is_not_there_cannot_be_revoked(api: Api, number: str) -> None:
    status = api.delete(f"/grants/{number}", ADMIN).status_code
    assert (404 if number == "404" else 422) == status


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"owner": ""}, 422),
        ({"owner": "ri\u0000val"}, 422),
        ({"owner": "ri\u200bval"}, 422),
        ({"owner": "rival "}, 422),
        ({"owner": "ri\u001b[2Jval"}, 422),
        ({"pattern": "a b"}, 422),
        ({"pattern": ""}, 422),
        ({"more": 1}, 422),
    ],
)
def test_a_grant_that_breaks_a_rule_is_refused(
    api: Api, change: dict[str, object], status: int
) -> None:
    assert status == api.post("/grants", ADMIN, json=GRANT | change).status_code


# --- tokens -------------------------------------------------------------------


def issue(api: Api, **wish: object) -> dict[str, Any]:
    answer = api.post("/tokens", ADMIN, json={"name": "n", "owner": "acme", **wish})
    assert 201 == answer.status_code
    made: dict[str, Any] = answer.json
    return made


def state_of(api: Api, token: dict[str, Any]) -> str:
    listed = api.get("/tokens", ADMIN).json["tokens"]
    (found,) = (one["state"] for one in listed if one["token_id"] == token["token_id"])
    return str(found)


def test_a_token_lets_its_holder_in_until_it_expires(api: Api) -> None:
    made = issue(api, expires_in_seconds=60)
    assert ("acme", "user", "active", "2026-01-01T00:01:00Z") == (
        made["owner"],
        made["role"],
        made["state"],
        made["expires_at"],
    )
    assert 200 == api.get("/bots/support", made["token"]).status_code
    api.world.clock.sleep(61)
    assert 401 == api.get("/bots/support", made["token"]).status_code
    assert "expired" == state_of(api, made)


def test_a_token_says_when_it_was_last_used(api: Api) -> None:
    made = issue(api, role="query")
    assert ("query", None) == (made["role"], made["last_used_at"])
    api.world.clock.sleep(30)
    assert 200 == api.get("/v1/models", made["token"]).status_code
    listed = {one["token_id"]: one for one in api.get("/tokens", ADMIN).json["tokens"]}
    assert "2026-01-01T00:00:30Z" == listed[made["token_id"]]["last_used_at"]


def test_whoever_holds_a_token_that_has_ended_is_told_so(api: Api) -> None:
    access = api.services.access
    expired, _ = access.issue("laptop", "acme", lasts=timedelta(minutes=1))
    revoked, known = access.issue("old laptop", "acme")
    access.revoke(known.id)
    api.world.clock.sleep(61)
    told = [api.get("/bots", token).json["detail"] for token in (expired, revoked, "reembed_x")]
    assert "The token 'laptop' is expired since 2026-01-01 00:01 UTC" in told[0]
    assert "The token 'old laptop' is revoked since 2026-01-01 00:00 UTC" in told[1]
    assert "Send a valid token" in told[2]


def test_a_revoked_token_is_refused_from_the_next_request_on(api: Api) -> None:
    made = issue(api, role="admin")
    assert 200 == api.get("/tokens", made["token"]).status_code
    assert 204 == api.delete(f"/tokens/{made['token_id']}", ADMIN).status_code
    assert 401 == api.get("/tokens", made["token"]).status_code
    assert "revoked" == state_of(api, made)
    again = api.post(f"/tokens/{made['token_id']}/rotate", ADMIN)
    assert (409, "/problems/token-revoked") == (again.status_code, again.json["type"])


@pytest.mark.parametrize(("keep", "old_status"), [({}, 401), ({"keep_old_seconds": 60}, 200)])
def test_a_rotated_tokens_holder_changes_over_at_once_or_in_a_while(
    api: Api, keep: dict[str, int], old_status: int
) -> None:
    old = issue(api)
    new = api.post(f"/tokens/{old['token_id']}/rotate", ADMIN, json=keep).json
    assert ("n", "acme", "user") == (new["name"], new["owner"], new["role"])
    assert old["token"] != new["token"]
    assert old_status == api.get("/bots/support", old["token"]).status_code
    api.world.clock.sleep(61)
    assert 401 == api.get("/bots/support", old["token"]).status_code
    assert 200 == api.get("/bots/support", new["token"]).status_code


@pytest.mark.parametrize(
    "change",
    [
        {"owner": ""},
        {"name": ""},
        {"name": "a\u0007"},
        {"owner": "a\u202eb"},
        {"role": "root"},
        {"expires_in_seconds": 0},
        {"expires_in_seconds": 10**12},
        {"expires_in_seconds": "90d"},
    ],
    ids=str,
)
def test_a_token_that_breaks_a_rule_is_not_issued(api: Api, change: dict[str, object]) -> None:
    before = api.get("/tokens", ADMIN).json["count"]
    answer = api.post("/tokens", ADMIN, json={"name": "n", "owner": "acme", **change})
    assert 422 == answer.status_code
    assert before == api.get("/tokens", ADMIN).json["count"]


@pytest.mark.parametrize("call", ["delete", "rotate"])
def test_a_token_that_is_not_there_is_named_as_such(api: Api, call: str) -> None:
    answer = (
        api.delete("/tokens/404", ADMIN)
        if call == "delete"
        else api.post("/tokens/404/rotate", ADMIN)
    )
    assert (404, "/problems/token-not-found") == (answer.status_code, answer.json["type"])
