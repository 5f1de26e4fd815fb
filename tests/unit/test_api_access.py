"""Who may do what: one test for each route and each kind of caller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.routing import Rule

from api import allowed
from migrations.model.bots import Role
from migrations.ports.limiter import Learned
from tests.fakes.api_client import ACME, ACME_TOKEN, BOT, TARGET, Api
from tests.fakes.workers import crewed

GRANT = {"owner": "rival", "pattern": "*"}
TOKEN = {"name": "new", "owner": "acme"}
NOBODY = 401
#: Kinds of callers. Those without a good token first; the others in the table's order.
STRANGERS = ("none", "bad", "expired", "revoked")
KNOWN = ("other owner", "user", "granted user", "admin", "read", "query")


@dataclass(frozen=True)
class Line:
    """A route and how it answers the known callers; strangers are answered 401 everywhere.

    ``read`` and ``query`` are acme's, too: answered as its user is, or refused.
    """

    body: Any
    other_owner: int
    user: int
    granted_user: int
    admin: int
    read: int = 403
    query: int = 403

    def status(self, caller: str) -> int:
        return getattr(self, caller.replace(" ", "_")) if caller in KNOWN else NOBODY

    def also(self, *roles: str) -> Line:
        return replace(self, **dict.fromkeys(roles, self.user))


def of_a_bot(status: int, body: Any = None) -> Line:
    """Another owner is answered as if there were no such bot."""
    return Line(body, 404, status, status, status)


def of_admins(status: int, body: Any = None) -> Line:
    return Line(body, 403, 403, 403, status)


def of_everybody(status: int = 200) -> Line:
    return Line(None, status, status, status, status)


CHUNK = {"key": "a", "fields": {"text": "a text."}}
#: The bot is acme's and so are "user" and "granted user"; its collection is not what is
#: registered here.
TABLE = {
    "POST /bots": Line(BOT, 403, 403, 201, 201),
    "GET /bots": of_everybody().also("read"),
    "GET /bots/<bot_id>": of_a_bot(200).also("read"),
    "PATCH /bots/<bot_id>": of_a_bot(200, {}),
    "DELETE /bots/<bot_id>": of_a_bot(409),
    "PUT /bots/<bot_id>/golden-queries": of_a_bot(200, {"queries": [{"text": "where?"}]}),
    "GET /bots/<bot_id>/golden-queries": of_a_bot(200).also("read"),
    "DELETE /bots/<bot_id>/golden-queries": of_a_bot(200),
    "PUT /bots/<bot_id>/chunks": of_a_bot(202, {"chunks": [CHUNK]}),
    "DELETE /bots/<bot_id>/chunks": of_a_bot(202, {"keys": ["a"]}),
    "GET /bots/<bot_id>/chunks/journal": of_a_bot(200).also("read"),
    "GET /bots/<bot_id>/embeddings/live": of_a_bot(200).also("read", "query"),
    "POST /bots/<bot_id>/search": of_a_bot(200, {"text": "where?"}).also("query"),
    "POST /bots/<bot_id>/embeddings/validate-change": of_a_bot(200, TARGET),
    "POST /bots/<bot_id>/embeddings/diagnose": of_a_bot(200),
    "POST /bots/<bot_id>/embeddings/estimate-migration": of_a_bot(200, {}),
    "POST /bots/<bot_id>/trial": of_a_bot(200, TARGET | {"chunks": 20}),
    "POST /bots/<bot_id>/embeddings/start-migration": of_a_bot(202, TARGET),
    "GET /bots/<bot_id>/embeddings/migration-status": of_a_bot(200).also("read"),
    "POST /bots/<bot_id>/embeddings/cancel-migration": of_a_bot(202),
    "GET /embeddings/migration/<migration_id>/events": of_a_bot(200).also("read"),
    "GET /bots/<bot_id>/embeddings/dimension-info": of_a_bot(200).also("read"),
    "GET /embeddings/migration/<migration_id>/progress": of_a_bot(200).also("read"),
    "GET /embeddings/migration/<migration_id>/keys": of_a_bot(200).also("read"),
    "GET /embeddings/migration/<migration_id>/report": of_a_bot(200).also("read"),
    "POST /embeddings/migration/<migration_id>/rollback": of_a_bot(202),
    "POST /embeddings/migration/<migration_id>/switch": of_a_bot(409),
    "GET /embeddings/migrations": of_everybody().also("read"),
    "POST /embeddings/migration/<migration_id>/pause": of_a_bot(202),
    "POST /embeddings/migration/<migration_id>/resume": of_a_bot(202),
    "POST /embeddings/migration/<migration_id>/extend": of_a_bot(202, {"timeout_seconds": 86_400}),
    # Its model runs inside the workers, and none of it can be had less.
    "POST /embeddings/migration/<migration_id>/throttle": of_a_bot(422, {"share": 0.1}),
    "DELETE /embeddings/migration/<migration_id>/throttle": of_a_bot(202),
    "POST /embeddings/migration/<migration_id>/retry": of_a_bot(409),
    "GET /embeddings/migrations/active": of_admins(200),
    "GET /embeddings/migration/<migration_id>/spend": of_a_bot(200).also("read"),
    "GET /bots/<bot_id>/spend": of_a_bot(200).also("read"),
    "GET /spend": of_everybody().also("read"),
    "GET /bots/<bot_id>/conflicts": of_a_bot(200).also("read"),
    "DELETE /bots/<bot_id>/conflicts": of_a_bot(200, {"all": True}),
    "GET /kept-collections": of_everybody().also("read"),
    "PATCH /kept-collections/<collection>": of_a_bot(200, {"hours": 1}),
    "DELETE /kept-collections/<collection>": of_a_bot(202),
    "GET /paces": of_admins(200),
    "DELETE /paces/<provider>": of_admins(204),
    "POST /grants": of_admins(201, GRANT),
    "GET /grants": of_admins(200),
    "DELETE /grants/<grant_id>": of_admins(204),
    "POST /tokens": of_admins(201, TOKEN),
    "GET /tokens": of_admins(200),
    "POST /tokens/<token_id>/rotate": of_admins(201),
    "DELETE /tokens/<token_id>": of_admins(204),
    "GET /trail": of_admins(200),
    "GET /workers": of_everybody().also("read"),
    "POST /v1/embeddings": of_a_bot(200, {"model": "support_docs_live", "input": "where?"}).also(
        "query"
    ),
    "GET /v1/models": of_everybody().also("read", "query"),
    "GET /v1/models/<model>": of_a_bot(200).also("read", "query"),
    "GET /metrics": of_admins(200),
    "GET /doctor": of_admins(200),
}
#: Whoever asks, with whatever token.
OPEN = {
    "GET /healthz",
    "GET /healthz/deep",
    "GET /readyz",
    "GET /problems/<code>",
    "GET /openapi/",
    "GET /openapi/openapi.json",
    "GET /openapi/swagger",
    "GET /openapi/swagger/<path:filename>",
    "GET /openapi/static/<path:filename>",
    "GET /openapi/oauth2-redirect.html",
}
#: Flask-openapi3 brings them along; there are no such files.
ABSENT = {"GET /openapi/static/<path:filename>"}


def routes() -> Iterator[tuple[str, str]]:
    """Every method and rule there is, whether or not the table has it.

    The page has a table of its own, because it is answered by a cookie (test_dashboard_access).
    """
    rules: Iterator[Rule] = Api().client.application.url_map.iter_rules()
    for rule in rules:
        if rule.rule.startswith("/dashboard"):
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, rule.rule


@dataclass
class Scene:
    """A bot of acme's, a grant and a token that can be revoked, and somebody who asks."""

    api: Api
    caller: str

    def ask(self, method: str, rule: str) -> Any:
        line, headers = TABLE.get(f"{method} {rule}"), self.headers()
        crewed(self.api.world)  # time may have passed
        return self.api.client.open(
            self.filled(rule),
            method=method,
            json=line.body if line else None,
            headers=headers,
        )

    def filled(self, rule: str) -> str:
        """The rule with what there is to be asked for."""
        for name, value in self.things(rule).items():
            rule = rule.replace(f"<{name}>", value)
        return rule

    def things(self, rule: str) -> dict[str, str]:
        grant = self.api.world.store.add_grant("rival", "old_*", by="x")
        starts = not rule.endswith(("start-migration", "<collection>"))
        live = str(self.api.start().id) if starts else ""
        return {
            "bot_id": "support",
            "migration_id": live,
            "grant_id": str(grant.id),
            "token_id": str(self.api.services.access.issue("spare", "rival")[1].id),
            "provider": self.learned().provider,
            "code": "bot-not-found",
            "collection": self.api.kept() if rule.endswith("<collection>") else "",
            "model": "support_docs_live",
            "path:filename": "css/swagger-ui.css",
        }

    def learned(self) -> Learned:
        one = Learned("slow", {}, requests_per_minute=12)
        self.api.world.limiter.has_learned[one.provider] = one
        return one

    def headers(self) -> dict[str, str]:
        token = self.token()
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def token(self) -> str | None:
        access = self.api.services.access
        held = {"user": ACME_TOKEN, "granted user": ACME_TOKEN, "admin": "admin-token"}
        held |= {"read": "read-token", "query": "query-token"}
        held |= {"other owner": "rival-token", "bad": "reembed_" + "x" * 43}
        if self.caller == "expired":
            text, _ = access.issue("old", ACME.owner, lasts=timedelta(minutes=1))
            self.api.world.clock.sleep(61)
            return text
        if self.caller == "revoked":
            text, token = access.issue("lost", ACME.owner)
            access.revoke(token.id)
            return text
        return held.get(self.caller)


@pytest.fixture
def api() -> Api:
    return Api(hold_hours=24)


@pytest.fixture(params=[*STRANGERS, *KNOWN])
def scene(api: Api, request: pytest.FixtureRequest) -> Scene:
    if request.param != "granted user":
        for grant in api.world.store.grants(ACME.owner):
            api.world.store.remove_grant(grant.id)
    return Scene(api, request.param)


@pytest.mark.parametrize(("method", "rule"), [pytest.param(*r, id=" ".join(r)) for r in routes()])
def test_every_route_answers_each_caller_as_the_table_says(
    scene: Scene, method: str, rule: str
) -> None:
    name = f"{method} {rule}"
    answer = scene.ask(method, rule)
    if name in OPEN:
        answer.close()  # it may be a file
        assert (404 if name in ABSENT else 200) == answer.status_code
        return
    assert TABLE[name].status(scene.caller) == answer.status_code, "the table has no such line"
    if scene.caller in STRANGERS:
        if rule.startswith("/v1/"):
            assert "invalid_api_key" == answer.json["error"]["code"]
        else:
            has_ended = scene.caller in {"expired", "revoked"}
            code = "token-ended" if has_ended else "not-authenticated"
            assert f"/problems/{code}" == answer.json["type"]
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="reembed"')
        assert (scene.caller != "none") == ("invalid_token" in challenge)


def test_the_table_has_no_line_without_a_route() -> None:
    assert set(TABLE) | OPEN == {" ".join(route) for route in routes()}
    assert set() == set(allowed.ROUTES) - set(TABLE)


def test_whoever_may_only_look_sees_whatever_its_owner_does() -> None:
    """A new route that tells users something is for those who read, or says here why not."""
    told = {name for name, line in TABLE.items() if name.startswith("GET ") and line.user == 200}
    assert set() == {name for name in told if TABLE[name].read != 200}


def test_a_route_without_a_line_is_refused_to_those_who_only_look_or_ask(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowed, "ROUTES", {})
    statuses = [api.get("/bots", f"{role}-token").status_code for role in ("read", "query", "acme")]
    assert [403, 403, 200] == statuses


def test_what_a_role_may_not_is_refused_with_those_that_may(api: Api) -> None:
    path = "/bots/support/embeddings/start-migration"
    refused = api.post(path, "read-token", json=TARGET)
    assert (403, "/problems/not-allowed") == (refused.status_code, refused.json["type"])
    assert (
        "This needs a token with the role user or admin; yours has the role read."
        == refused.json["detail"]
    )
    assert ["user", "admin"] == refused.json["needed_roles"]
    assert None is api.world.store.live("support")
    of_admins = api.get("/tokens", "query-token").json["detail"]
    assert "This needs a token with the role admin; yours has the role query." == of_admins
    seen = api.get("/bots", "query-token").json["detail"]
    assert "the role read, user or admin" in seen


def test_a_token_that_asks_embeds_questions_and_no_passages(api: Api) -> None:
    asked, written = (
        api.post("/v1/embeddings", "query-token", json={"model": model, "input": "where?"})
        for model in ("support_docs_live:query", "support_docs_live:passage")
    )
    assert (200, 403) == (asked.status_code, written.status_code)
    error = written.json["error"]
    assert "permission_denied" == error["code"]
    assert "user or admin" in error["message"]


@pytest.mark.parametrize("role", ["read", "query"])
def test_a_narrow_token_sees_no_other_owners_bot(api: Api, role: str) -> None:
    text, _ = api.services.access.issue("n", "rival", Role(role))
    assert 404 == api.get("/bots/support/embeddings/live", text).status_code
    assert [] == api.get("/v1/models", text).json["data"]


def test_a_narrow_token_is_refused_before_its_body_is_read(api: Api) -> None:
    answer = api.post("/bots", "query-token", data=b"{", content_type="application/json")
    assert 403 == answer.status_code


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_a_stranger_learns_nothing_by_another_method(api: Api, method: str) -> None:
    for rule in sorted({name.split(" ")[1] for name in TABLE}):
        answer = api.client.open(rule.replace("<", "").replace(">", ""), method=method)
        assert answer.status_code in {401, 405}, rule


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer ", "Basic YWNtZTp4", "Token acme-token", "acme-token"]
)
def test_what_is_no_bearer_token_is_none(api: Api, authorization: str) -> None:
    answer = api.get("/bots", None, headers={"Authorization": authorization})
    assert (401, "/problems/not-authenticated") == (answer.status_code, answer.json["type"])
    assert "invalid_token" in answer.headers["WWW-Authenticate"]


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
