"""Who may see and do what on the page: one test for each page and each kind of visitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from migrations.model.bots import Caller, Role
from tests.fakes.api_client import ACME, ACME_TOKEN, BOT, MODEL, Api, application
from tests.fakes.visitor import Visitor

TARGET = {"provider": "local", "model": MODEL, "dimension": "256"}
KNOWN = {"other owner": "rival-token", "user": ACME_TOKEN, "admin": "admin-token"}
#: Where a stranger is led.
LOGIN = 303


@dataclass(frozen=True)
class Line:
    """A page or a deed, and how it answers those who have logged in; the bot is acme's."""

    other_owner: int
    user: int
    admin: int
    form: Any = None

    def status(self, visitor: str) -> int:
        return int(getattr(self, visitor.replace(" ", "_")))


def of_a_bot(status: int = 200, form: Any = None) -> Line:
    """Another owner is answered as if there were no such bot."""
    return Line(404, status, status, form)


def of_everybody(status: int = 200) -> Line:
    return Line(status, status, status)


TABLE = {
    "GET /dashboard/": of_everybody(),
    "GET /dashboard/bots/<bot_id>": of_a_bot(),
    "GET /dashboard/register": of_everybody(),
    "POST /dashboard/register": Line(403, 303, 303, BOT),
    "GET /dashboard/bots/<bot_id>/start": of_a_bot(),
    "POST /dashboard/bots/<bot_id>/estimate": of_a_bot(200, TARGET),
    "POST /dashboard/bots/<bot_id>/start": of_a_bot(303, {**TARGET, "agreed": "yes"}),
    "GET /dashboard/bots/<bot_id>/kept/<collection>": of_a_bot(),
    "POST /dashboard/bots/<bot_id>/kept/<collection>/keep": of_a_bot(303, {"hours": "5"}),
    "POST /dashboard/bots/<bot_id>/kept/<collection>/drop": of_a_bot(303),
    "GET /dashboard/bots/<bot_id>/conflicts": of_a_bot(),
    "POST /dashboard/bots/<bot_id>/conflicts/settle": of_a_bot(303, {"all": "yes"}),
    "GET /dashboard/workers": of_everybody(),
    "GET /dashboard/migrations": of_everybody(),
    "GET /dashboard/migrations/<uuid:migration_id>": of_a_bot(),
    "GET /dashboard/migrations/<uuid:migration_id>/live": of_a_bot(),
    "GET /dashboard/migrations/<uuid:migration_id>/changes": of_a_bot(),
    "GET /dashboard/migrations/<uuid:migration_id>/report": of_a_bot(),
    "GET /dashboard/migrations/<uuid:migration_id>/cancel": of_a_bot(),
    "POST /dashboard/migrations/<uuid:migration_id>/cancel": of_a_bot(303),
    "GET /dashboard/migrations/<uuid:migration_id>/switch": of_a_bot(),
    "POST /dashboard/migrations/<uuid:migration_id>/switch": of_a_bot(409),
    "GET /dashboard/migrations/<uuid:migration_id>/pause": of_a_bot(),
    "POST /dashboard/migrations/<uuid:migration_id>/pause": of_a_bot(303),
    "GET /dashboard/migrations/<uuid:migration_id>/resume": of_a_bot(),
    "POST /dashboard/migrations/<uuid:migration_id>/resume": of_a_bot(303),
    "GET /dashboard/migrations/<uuid:migration_id>/throttle": of_a_bot(),
    # Its model runs inside the workers, and none of it can be had less.
    "POST /dashboard/migrations/<uuid:migration_id>/throttle": of_a_bot(422, {"percent": "10"}),
    "GET /dashboard/migrations/<uuid:migration_id>/extend": of_a_bot(),
    "POST /dashboard/migrations/<uuid:migration_id>/extend": of_a_bot(303, {"hours": "24"}),
    "GET /dashboard/migrations/<uuid:migration_id>/retry": of_a_bot(),
    "POST /dashboard/migrations/<uuid:migration_id>/retry": of_a_bot(409),
    "GET /dashboard/migrations/<uuid:migration_id>/rollback": of_a_bot(),
    "POST /dashboard/migrations/<uuid:migration_id>/rollback": of_a_bot(303),
    "GET /dashboard/<path:anything>": of_everybody(404),
}
#: Whoever asks.
OPEN = {
    "GET /dashboard/login",
    "POST /dashboard/login",
    "GET /dashboard/login/oidc",
    "GET /dashboard/login/oidc/return",
    "POST /dashboard/logout",
    "GET /dashboard/static/<path:filename>",
}


def pages() -> set[str]:
    rules = [r for r in application().url_map.iter_rules() if r.rule.startswith("/dashboard")]
    methods = {(m, r.rule) for r in rules for m in (r.methods or set()) - {"HEAD", "OPTIONS"}}
    return {" ".join(one) for one in methods}


def test_the_table_has_a_line_for_each_page() -> None:
    assert set(TABLE) | OPEN == pages()


@pytest.fixture
def api() -> Api:
    return Api(hold_hours=24)


def asked(api: Api, visitor: Visitor, name: str, *, with_token: bool = True) -> int:
    method, rule = name.split(" ")
    live = kept = ""
    if "<collection>" in rule:
        kept = api.kept()
    elif not rule.endswith(("/start", "/register")):
        live = str(api.start().id)
    path = rule.replace("<bot_id>", "support").replace("<uuid:migration_id>", live)
    path = path.replace("<path:anything>", "nothing-here").replace("<collection>", kept)
    if method == "GET":
        headers = {"HX-Request": "true"} if path.endswith("/live") else {}
        return visitor.client.get(path, headers=headers).status_code
    sent = dict((TABLE[name].form if name in TABLE else None) or {})
    if with_token:
        # Every page has a form that logs out, and so a token of the session.
        visitor.get("/dashboard/register")
        sent |= {"csrf_token": visitor.page.forms[0].fields["csrf_token"]}
    return visitor.client.post(path, data=sent).status_code


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("who", KNOWN)
def test_each_page_answers_each_visitor_as_the_table_says(api: Api, name: str, who: str) -> None:
    visitor = Visitor(application(), KNOWN[who])
    assert TABLE[name].status(who) == asked(api, visitor, name)


@pytest.mark.parametrize("name", TABLE)
def test_a_stranger_is_led_to_the_login(api: Api, name: str) -> None:
    visitor = Visitor(application(), None)
    status = asked(api, visitor, name, with_token=False)
    assert (401 if name.endswith("/live") else LOGIN) == status


@pytest.mark.parametrize("name", [name for name in sorted(pages()) if name.startswith("POST")])
def test_a_form_that_is_not_ours_does_nothing(api: Api, name: str) -> None:
    visitor = Visitor(application(), "admin-token")
    before = len(api.world.store.bots()), api.world.store.active()
    status = asked(api, visitor, name, with_token=False)
    after = len(api.world.store.bots()), api.world.store.active()
    assert 400 == status
    started = [m.status for m in after[1] if m.id not in {one.id for one in before[1]}]
    assert started in ([], ["pending"])  # the one that was started to be asked about
    assert before[0] == after[0]


def test_another_owners_migration_cannot_be_told_from_none(api: Api) -> None:
    visitor = Visitor(application(), "rival-token")
    theirs = visitor.get(f"/dashboard/migrations/{api.start().id}")
    nobodys = visitor.get("/dashboard/migrations/6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11")
    assert (404, 404) == (theirs.status_code, nobodys.status_code)


def test_a_fragment_of_a_session_that_has_ended_makes_the_page_load_anew(api: Api) -> None:
    answer = Visitor(application(), None).client.get(
        f"/dashboard/migrations/{api.start().id}/live", headers={"HX-Request": "true"}
    )
    assert (401, "true") == (answer.status_code, answer.headers["HX-Refresh"])


@pytest.fixture
def looker(api: Api, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    """With a token that may look and change nothing."""
    reads = Caller(ACME.owner, Role.READ)
    monkeypatch.setattr(api.services.access, "recognise", lambda _: reads)
    return Visitor(application())


def test_who_may_only_look_sees_everything_and_no_button(api: Api, looker: Visitor) -> None:
    migration = api.start()
    assert 200 == looker.answer.status_code
    for path in ("", "bots/support", f"migrations/{migration.id}"):
        looker.get(f"/dashboard/{path}")
        assert ["/dashboard/logout"] == [form.action for form in looker.page.forms], path
        assert not [x for x in looker.page.links if x.endswith(("/cancel", "/start", "/register"))]


@pytest.mark.parametrize("name", [name for name in TABLE if name.startswith("POST")])
def test_who_may_only_look_changes_nothing(api: Api, looker: Visitor, name: str) -> None:
    assert 403 == asked(api, looker, name)


def test_a_token_inside_a_chatbot_does_not_open_the_page(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = Caller(ACME.owner, Role.QUERY)
    monkeypatch.setattr(api.services.access, "recognise", lambda _: asks)
    visitor = Visitor(application())
    assert (403, "/dashboard/login") == (visitor.answer.status_code, visitor.at)
    assert "for asking bots" in visitor.words
    visitor.get("/dashboard/")
    assert "/dashboard/login" == visitor.at
