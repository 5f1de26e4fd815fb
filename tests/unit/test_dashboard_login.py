"""Logging in to the page: the cookie, how long it is good, and what is refused without it."""

from __future__ import annotations

import base64
import json
import time
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from api import create_app
from api.dashboard import session as sessions
from api.dashboard.session import safe_next
from migrations.model.access import TrailSearch
from migrations.settings import Settings
from tests.fakes.api_client import ACME, ACME_TOKEN, Api, ApiWorld, FakeServices
from tests.fakes.visitor import HOME, Visitor
from tests.fakes.world import World


@pytest.fixture
def api() -> Api:
    return Api()


def set_cookies(**settings: Any) -> list[str]:
    """What a login sends of the cookie, by an application of these settings."""
    app = create_app(FakeServices(ApiWorld(settings={"secret_key": "k" * 32, **settings})))
    visitor = Visitor(app, None)
    visitor.get("/dashboard/login")
    form = visitor.page.forms[0]
    answer = visitor.client.post(form.action, data={**form.fields, "token": ACME_TOKEN})
    assert 303 == answer.status_code
    return answer.headers.getlist("Set-Cookie")


def kept_in_the_cookie(visitor: Visitor) -> dict[str, Any]:
    cookie = visitor.client.get_cookie(sessions.COOKIE, path=sessions.PATH)
    assert cookie is not None
    payload = cookie.value.lstrip(".").split(".")[0]
    raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    found: dict[str, Any] = json.loads(
        zlib.decompress(raw) if cookie.value.startswith(".") else raw
    )
    return found


def test_a_token_opens_the_page(api: Api) -> None:
    visitor = Visitor(api.client.application)
    assert (200, HOME) == (visitor.answer.status_code, visitor.at)
    assert "support" in visitor.words


@pytest.mark.parametrize("path", [HOME, "/dashboard/bots/support", "/dashboard/register"])
def test_a_stranger_is_led_to_the_login_and_then_to_where_they_wanted(api: Api, path: str) -> None:
    visitor = Visitor(api.client.application, None)
    visitor.get(path)
    assert "/dashboard/login" == visitor.at
    visitor.send("login", token=ACME_TOKEN)
    assert path == visitor.at


@pytest.mark.parametrize("token", ["", "nobody's", "reembed_" + "x" * 43])
def test_another_text_opens_nothing(api: Api, token: str) -> None:
    visitor = Visitor(api.client.application, None)
    answer = visitor.log_in(token)
    assert (401, "/dashboard/login") == (answer.status_code, visitor.at)
    assert "Nobody holds this token" in visitor.words
    visitor.get(HOME)
    assert "/dashboard/login" == visitor.at


def test_a_revoked_token_ends_the_session_at_once(api: Api) -> None:
    text, token = api.services.access.issue("lost", ACME.owner)
    visitor = Visitor(api.client.application, text)
    assert HOME == visitor.at
    api.services.access.revoke(token.id)
    visitor.get(HOME)
    assert "/dashboard/login" == visitor.at
    assert "The token 'lost' is revoked since" in visitor.words


def test_a_token_that_expires_ends_the_session(api: Api) -> None:
    text, _ = api.services.access.issue("brief", ACME.owner, lasts=timedelta(minutes=1))
    visitor = Visitor(api.client.application, text)
    api.world.clock.sleep(61)
    visitor.get(HOME)
    assert "/dashboard/login" == visitor.at
    assert "The token 'brief' is expired since" in visitor.words
    assert 401 == visitor.log_in(text).status_code
    assert "The token 'brief' is expired since" in visitor.words


def test_a_login_is_over_when_its_time_is_however_often_the_cookie_was_renewed(api: Api) -> None:
    visitor = Visitor(api.client.application)
    with visitor.client.session_transaction(base_url="http://localhost/dashboard/") as kept:
        kept["ends_at"] = time.time() - 1
    visitor.get(HOME)
    assert "/dashboard/login" == visitor.at
    assert "expired" in visitor.words


def test_logging_out_forgets_the_login(api: Api) -> None:
    visitor = Visitor(api.client.application)
    visitor.send("logout")
    assert "/dashboard/login" == visitor.at
    visitor.get(HOME)
    assert "/dashboard/login" == visitor.at


def test_the_cookie_holds_no_token_and_nothing_that_opens_the_api(api: Api) -> None:
    kept = kept_in_the_cookie(Visitor(api.client.application))
    assert {"_permanent", "csrf_token", "ends_at", "token_sha256"} == set(kept)
    assert ACME_TOKEN not in json.dumps(kept)
    assert 401 == api.get("/bots", kept["token_sha256"]).status_code


def test_a_cookie_that_was_changed_is_none(api: Api) -> None:
    visitor = Visitor(api.client.application)
    cookie = visitor.client.get_cookie(sessions.COOKIE, path=sessions.PATH)
    assert cookie is not None
    payload, rest = cookie.value.split(".", 1) if cookie.value[0] != "." else ("", cookie.value)
    changed = f"{payload}.{rest}"[:-1] + ("A" if cookie.value[-1] != "A" else "B")
    visitor.client.set_cookie(sessions.COOKIE, changed, path=sessions.PATH)
    visitor.get(HOME)
    assert "/dashboard/login" == visitor.at


def test_the_cookie_is_out_of_scripts_and_other_sites_reach() -> None:
    (sent,) = set_cookies()
    assert {"HttpOnly", "Path=/dashboard", "SameSite=Lax"} <= set(sent.split("; "))
    assert "Secure" not in sent


def test_behind_tls_the_cookie_goes_no_other_way() -> None:
    (sent,) = set_cookies(dashboard_https=True)
    assert "Secure" in sent.split("; ")


def test_the_cookie_opens_nothing_of_the_api(api: Api) -> None:
    visitor = Visitor(api.client.application)
    assert 401 == visitor.client.get("/bots").status_code


def test_what_was_in_the_cookie_before_the_login_is_gone(api: Api) -> None:
    visitor = Visitor(api.client.application, None)
    visitor.get("/dashboard/login")
    before = kept_in_the_cookie(visitor)["csrf_token"]
    visitor.send("login", token=ACME_TOKEN)
    assert before != kept_in_the_cookie(visitor)["csrf_token"]


def test_logins_of_one_address_are_counted() -> None:
    api = Api(dashboard_logins_per_minute=3)
    visitor = Visitor(api.client.application, None)
    visitor.get("/dashboard/login")
    answers = [visitor.client.post("/dashboard/login").status_code for _ in range(20)]
    assert 429 == answers[-1]
    answer = visitor.client.post("/dashboard/login")
    assert "text/html; charset=utf-8" == answer.headers["Content-Type"]
    assert "60" == answer.headers["Retry-After"]


def test_a_login_is_in_the_trail(api: Api) -> None:
    Visitor(api.client.application)
    kept = api.world.store.trail(timedelta(days=1), TrailSearch(limit=10))
    assert "/dashboard/login" in [entry.deed.route for entry in kept]


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "",
        "https://evil.example/",
        "//evil.example/",
        "/dashboard//evil.example",
        "/dashboard/\\evil.example",
        "/bots",
        "dashboard/",
        "/dashboard/\n",
    ],
)
def test_a_login_leads_to_no_other_site(asked: str | None) -> None:
    assert safe_next(asked) is None


def test_a_login_leads_to_a_page_with_its_question() -> None:
    assert "/dashboard/migrations?status=running" == safe_next(
        "/dashboard/migrations?status=running"
    )


def test_without_a_key_the_page_says_how_it_is_switched_on() -> None:
    services = FakeServices(World(0))
    app = create_app(services)
    for path in (HOME, "/dashboard/login"):
        answer = app.test_client().get(path)
        assert 503 == answer.status_code
        assert "REEMBED_SECRET_KEY" in answer.text


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a key of many characters\n")
    assert "a key of many characters" == _settings(secret_key_file=file).page_key


def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("short")
    with pytest.raises(ValueError, match="16 characters"):
        _ = _settings(secret_key_file=file).page_key
    with pytest.raises(ValidationError):
        _settings(secret_key="short")


def _settings(**values: Any) -> Settings:
    return World(0, settings=values).services.settings
