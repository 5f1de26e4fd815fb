"""What requests leave in the trail: which token, from where, what, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from api import create_app
from migrations.bots.trail import AGAIN_SECONDS, TRIM_EVERY
from migrations.model.errors import StateStoreUnavailable
from tests.fakes.api_client import ACME_TOKEN, BOT, TARGET, Api

ADMIN = "admin-token"


@pytest.fixture
def api() -> Api:
    return Api()


def trail(api: Api, query: str = "") -> list[dict[str, Any]]:
    """As an admin sees it, without what reading it leaves."""
    answer = api.get(f"/trail{query}", ADMIN)
    assert 200 == answer.status_code
    return [entry for entry in answer.json["entries"] if entry["route"] != "/trail"]


def what(api: Api) -> list[tuple[str, str, str | None, int]]:
    """Oldest first."""
    return [(e["method"], e["route"], e["subject"], e["status"]) for e in reversed(trail(api))]


def test_the_trail_says_which_token_did_what_from_where(api: Api) -> None:
    api.post("/bots/support/embeddings/start-migration", json=TARGET)
    (entry,) = trail(api)
    token = api.services.access.authenticate(ACME_TOKEN).token_id
    assert {
        "token_id": token,
        "token_name": "acme-token",
        "owner": "acme",
        "address": "127.0.0.1",
        "method": "POST",
        "route": "/bots/<bot_id>/embeddings/start-migration",
        "subject": "support",
        "status": 202,
        "at": "2026-01-01T00:00:00Z",
        "entry_id": entry["entry_id"],
    } == entry


def test_a_token_itself_is_in_no_entry_and_no_list(api: Api) -> None:
    made = api.post("/tokens", ADMIN, json={"name": "n", "owner": "acme"}).json
    api.get("/bots", made["token"])
    shown = api.get("/trail", ADMIN).text + api.get("/tokens", ADMIN).text
    assert made["token"] not in shown
    assert f'"token_id":{made["token_id"]}' in shown


def test_what_is_made_is_named_though_its_path_does_not(api: Api) -> None:
    api.post("/bots", json=BOT)
    grant = api.post("/grants", ADMIN, json={"owner": "a", "pattern": "b"}).json["grant_id"]
    token = api.post("/tokens", ADMIN, json={"name": "n", "owner": "a"}).json["token_id"]
    assert ["new-bot", str(grant), str(token)] == [subject for _, _, subject, _ in what(api)]


def test_what_is_refused_leaves_a_trail_and_what_nobody_is_behind_leaves_none(api: Api) -> None:
    api.get("/bots/support", "rival-token")
    api.get("/grants")
    for token in (None, "wrong-token"):
        api.get("/bots", token)
    api.get("/healthz")
    api.get("/nothing")
    assert [("GET", "/bots/<bot_id>", "support", 404), ("GET", "/grants", None, 403)] == what(api)


@pytest.mark.parametrize("sent", ["-x", "%00", "a%0d%0ab", "x" * 101, "%1b[2J"])
def test_no_path_can_write_what_it_likes_into_the_trail(api: Api, sent: str) -> None:
    api.get(f"/bots/{sent}")
    ((_, _, subject, status),) = what(api)
    assert status == 422
    assert subject in {None, "-x"}


def test_who_polls_is_kept_once_a_minute_and_who_changes_something_each_time(api: Api) -> None:
    for _ in range(3):
        api.get("/bots/support")
        api.post("/bots/support/embeddings/estimate-migration")
    assert [3, 1] == [
        sum(method == wanted for method, *_ in what(api)) for wanted in ("POST", "GET")
    ]
    api.world.clock.sleep(AGAIN_SECONDS)
    api.get("/bots/support")
    assert 2 == sum(method == "GET" for method, *_ in what(api))


def test_a_refused_change_that_is_repeated_is_kept_once_a_minute(api: Api) -> None:
    for _ in range(3):
        api.post("/bots/support/embeddings/cancel-migration")
    assert 1 == len(what(api))


def test_the_trail_of_a_busy_token_does_not_grow_for_ever() -> None:
    api = Api(trail_entries_per_token=10)
    for _ in range(TRIM_EVERY):
        api.post("/bots/support/embeddings/estimate-migration")
    assert 10 == len(what(api))


def test_a_request_is_answered_though_its_trail_could_not_be_kept(api: Api) -> None:
    def refuse(_: object) -> None:
        raise StateStoreUnavailable

    api.world.store.record_deed = refuse  # type: ignore[method-assign]
    assert 202 == api.post("/bots/support/embeddings/start-migration", json=TARGET).status_code


def test_the_trail_is_read_in_pages_and_by_token_owner_and_subject(api: Api) -> None:
    for bot in ("a", "b", "c"):
        api.get(f"/bots/{bot}")
    api.get("/bots/a", "rival-token")
    first = api.get("/trail?limit=2", ADMIN).json
    assert (2, first["entries"][-1]["entry_id"]) == (first["count"], first["next_before"])
    rest = api.get(f"/trail?limit=100&before={first['next_before']}&owner=acme", ADMIN).json
    assert ["b", "a"] == [entry["subject"] for entry in rest["entries"]]
    assert rest["next_before"] is None
    assert 2 == len(trail(api, "?subject=a"))
    token = api.services.access.authenticate("rival-token").token_id
    assert ["rival"] == [entry["owner"] for entry in trail(api, f"?token_id={token}")]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "before=x", "token_id=-1", "owner=", "owner=%00"]
)
def test_a_trail_that_cannot_be_read_so_is_refused_in_a_sentence(api: Api, query: str) -> None:
    answer = api.get(f"/trail?{query}", ADMIN)
    assert (422, "query") == (answer.status_code, answer.json["errors"][0]["in"])


@pytest.mark.parametrize(
    ("proxies", "seen"),
    [(0, "127.0.0.1"), (1, "203.0.113.9"), (2, "198.51.100.4"), (4, "127.0.0.1")],
)
def test_where_a_request_comes_from_is_what_trusted_proxies_say(proxies: int, seen: str) -> None:
    api = Api(trusted_proxies=proxies)
    client = create_app(api.services).test_client()
    said = {"X-Forwarded-For": "192.0.2.66, 198.51.100.4, 203.0.113.9"}
    client.get("/bots", headers={"Authorization": f"Bearer {ACME_TOKEN}", **said})
    assert [seen] == [entry["address"] for entry in trail(api)]


@pytest.mark.parametrize("said", ["x\x1b[2J", "ä", "1" * 200, "a b"])
def test_an_address_that_cannot_be_one_is_not_kept(said: str) -> None:
    api = Api(trusted_proxies=1)
    client = create_app(api.services).test_client()
    headers = {"Authorization": f"Bearer {ACME_TOKEN}", "X-Forwarded-For": said}
    client.get("/bots", headers=headers)
    assert ["unknown"] == [entry["address"] for entry in trail(api)]
