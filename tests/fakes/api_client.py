"""The API on fakes, with three people who hold a token and one bot that is acme's."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from api.services import attach
from migrations.entities import Caller, Migration, Role
from migrations.requests import BotRegistration, StartRequest
from tests.fakes.system import FakeServices

ACME, ACME_TOKEN = Caller("acme"), "acme-token"
TOKENS = {
    ACME_TOKEN: ACME,
    "rival-token": Caller("rival"),
    "admin-token": Caller("x", Role.ADMIN),
}

BOT = {"bot_id": "new-bot", "collection": "docs", "provider": "local", "model": "wordllama"}
TARGET = {"provider": "local", "model": "wordllama", "dimension": 256}


@cache
def application() -> Flask:
    """One for all tests, as it keeps nothing: its description takes a while to write."""
    return create_app(FakeServices())


class Api:
    """Requests as a client sends them; ``services`` is what stands behind them."""

    def __init__(self) -> None:
        self.services = FakeServices()
        self.services.access.callers = dict(TOKENS)
        wish = BotRegistration("support", "support_docs", "local", "wordllama", 64)
        self.services.system.register_bot(ACME, wish)
        attach(application(), self.services)
        self.client: FlaskClient = application().test_client()

    def get(self, path: str, token: str | None = ACME_TOKEN, **kwargs: Any) -> TestResponse:
        return self.client.get(path, headers=_headers(token, kwargs), **kwargs)

    def post(self, path: str, token: str | None = ACME_TOKEN, **kwargs: Any) -> TestResponse:
        return self.client.post(path, headers=_headers(token, kwargs), **kwargs)

    def start(self) -> Migration:
        """A live migration of acme's bot."""
        request = StartRequest("support", "local", "wordllama", 256)
        return self.services.system.start_migration(ACME, request).migration

    def stored(self, migration_id: str) -> Migration:
        return self.services.system.by_id[UUID(migration_id)]


def _headers(token: str | None, kwargs: dict[str, Any]) -> dict[str, str]:
    sent: dict[str, str] = kwargs.pop("headers", {})
    return sent if token is None else {"Authorization": f"Bearer {token}", **sent}
