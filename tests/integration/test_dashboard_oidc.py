"""Logging in with an identity provider that speaks the protocol for real, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import RSAKey

from api import create_app
from migrations.model.access import TokenState
from migrations.model.bots import Role
from tests.fakes.api_client import ApiWorld, FakeServices
from tests.fakes.visitor import HOME, Visitor

CLIENT, SECRET = "reembed-page", "what-we-show"
CLAIMS = {"sub": "248289761001", "email": "acme", "groups": ["everybody", "search-team"]}


class Provider(ThreadingHTTPServer):
    """Lets everybody in who is sent to it; ``claims`` is what it says of them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key = RSAKey.generate_key(2048, parameters={"kid": "one", "use": "sig"})
        self.signs_with = self.key
        self.claims: dict[str, Any] = dict(CLAIMS)
        self.asked: dict[str, dict[str, str]] = {}

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def token(self, form: dict[str, str], login: str) -> tuple[int, dict[str, Any]]:
        asked = self.asked.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or login != f"{CLIENT}:{SECRET}":
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        told = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, **self.claims}
        signed = jwt.encode(
            {"alg": "RS256", "kid": "one"}, told | {"nonce": asked["nonce"]}, self.signs_with
        )
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": signed}


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        if path.path == "/authorize":
            code = f"code-{len(self.server.asked)}"
            self.server.asked[code] = query
            back = urlencode({"code": code, "state": query["state"]})
            self._send(302, {}, Location=f"{query['redirect_uri']}?{back}")
        elif path.path == "/keys":
            self._send(200, {"keys": [self.server.key.as_dict(private=False)]})
        else:
            self._send(200, self.server.metadata())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        login = base64.b64decode(self.headers.get("Authorization", "Basic ")[6:]).decode()
        self._send(*self.server.token(form, login))

    def _send(self, status: int, body: dict[str, Any], **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def listening() -> Iterator[Provider]:
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def known_to(provider: Provider) -> ApiWorld:
    return ApiWorld(
        settings={
            "secret_key": "k" * 32,
            "dashboard_logins_per_minute": 0,
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SECRET,
            "oidc_roles": {"search-team": "user", "platform-team": "admin"},
        }
    )


@pytest.fixture(scope="module")
def listener() -> Iterator[Provider]:
    with listening() as server:
        yield server


@pytest.fixture
def provider(listener: Provider) -> Provider:
    listener.claims, listener.signs_with = dict(CLAIMS), listener.key
    return listener


@pytest.fixture(scope="module")
def world(listener: Provider) -> ApiWorld:
    return known_to(listener)


@pytest.fixture(scope="module")
def app(world: ApiWorld) -> Flask:
    """One for all, as its description takes a while to write."""
    return create_app(FakeServices(world))


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def log_in(visitor: Visitor, path: str = HOME) -> None:
    """As a browser does: to the provider, and back to where that leads."""
    visitor.get(path)
    (link,) = (link for link in visitor.page.links if "oidc" in link)
    there = visitor.client.get(link).headers["Location"]
    try:
        urllib.request.build_opener(_Stay).open(there)
    except urllib.error.HTTPError as answer:
        back = urlsplit(answer.headers["Location"])
        answer.close()
    visitor.get(f"{back.path}?{back.query}")


@pytest.mark.usefixtures("provider")
def test_who_the_provider_knows_comes_in_as_the_owner_it_names(app: Flask) -> None:
    visitor = Visitor(app, None)
    log_in(visitor, "/dashboard/bots/support")
    assert "/dashboard/bots/support" == visitor.at
    assert "acme" in visitor.words


@pytest.mark.usefixtures("provider")
def test_the_login_is_a_token_that_can_be_revoked(app: Flask, world: ApiWorld) -> None:
    visitor = Visitor(app, None)
    log_in(visitor)
    token = world.store.tokens()[-1]
    assert ("page, 248289761001", "acme", Role.USER) == (token.name, token.owner, token.role)
    assert token.expires_at is not None
    assert TokenState.ACTIVE is token.state
    world.store.revoke_token(token.id)
    visitor.get(HOME)
    assert "/dashboard/login" == visitor.at


def test_the_widest_role_counts(app: Flask, world: ApiWorld, provider: Provider) -> None:
    provider.claims["groups"] = ["search-team", "platform-team"]
    log_in(Visitor(app, None))
    assert Role.ADMIN is world.store.tokens()[-1].role


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": ["everybody"]},
        {"groups": None},
        {"email": None},
        {"email": ""},
        {"email": " acme"},
    ],
    ids=str,
)
def test_who_is_mapped_to_nobody_stays_outside(
    app: Flask, world: ApiWorld, provider: Provider, claims: dict[str, Any]
) -> None:
    before = len(world.store.tokens())
    provider.claims |= claims
    visitor = Visitor(app, None)
    log_in(visitor)
    assert "/dashboard/login" == visitor.at
    assert "ask who runs reembed" in visitor.words
    assert before == len(world.store.tokens())


@pytest.mark.parametrize(
    "lie",
    [{"aud": "another"}, {"iss": "https://elsewhere.example"}, {"exp": 1_000_000_000}],
    ids=str,
)
def test_what_was_said_to_others_by_others_or_long_ago_opens_nothing(
    app: Flask, provider: Provider, lie: dict[str, Any]
) -> None:
    provider.claims |= lie
    visitor = Visitor(app, None)
    log_in(visitor)
    assert "has not let you in" in visitor.words


def test_what_another_key_has_signed_opens_nothing(app: Flask, provider: Provider) -> None:
    provider.signs_with = RSAKey.generate_key(2048, parameters={"kid": "one"})
    visitor = Visitor(app, None)
    log_in(visitor)
    assert "has not let you in" in visitor.words


def test_who_comes_back_without_having_been_sent_stays_outside(app: Flask) -> None:
    visitor = Visitor(app, None)
    visitor.get("/dashboard/login/oidc/return?code=code-0&state=made-up")
    assert "/dashboard/login" == visitor.at
    assert "has not let you in" in visitor.words


def test_a_provider_that_is_away_is_said() -> None:
    with listening() as gone:
        app = create_app(FakeServices(known_to(gone)))
    visitor = Visitor(app, None)
    visitor.get("/dashboard/login/oidc")
    assert "has not let you in" in visitor.words
