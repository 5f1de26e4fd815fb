"""What an admin says over HTTP about who may do what."""

from __future__ import annotations

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
