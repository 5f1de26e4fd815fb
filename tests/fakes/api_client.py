"""The API over the real use cases on fakes, with people who hold tokens.

One bot, ``support``, is acme's; the collection ``docs`` is there to be registered.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from api.services import attach
from migrations.adapters.vocabulary import OpenAIVocabulary
from migrations.bots.grants import Grants
from migrations.bots.tokens import Access
from migrations.bots.trail import Trail
from migrations.diagnosis.monitored import Monitored
from migrations.embedding.spend import Spend
from migrations.model.bots import Caller, Role
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.runs import Migration
from migrations.process.turns import Turns
from migrations.readers.by_alias import AliasReaders
from migrations.readers.question import Spending
from migrations.readers.search import Searching
from migrations.run.history import History
from migrations.way_back.left_behind import LeftBehind
from tests.fakes.embedders import LOCAL_64, LOCAL_256
from tests.fakes.world import World, row_of

ACME, ACME_TOKEN = Caller("acme"), "acme-token"
TOKENS = {
    ACME_TOKEN: ACME,
    "rival-token": Caller("rival"),
    "read-token": Caller("acme", Role.READ),
    "query-token": Caller("acme", Role.QUERY),
    "admin-token": Caller("x", Role.ADMIN),
}

MODEL = LOCAL_64.model
BOT = {"bot_id": "new-bot", "collection": "docs", "provider": "local", "model": MODEL}
TARGET = LOCAL_256.canonical


class ApiWorld(World):
    def _seed(self) -> None:
        rows = [row_of(f"k{i:03}", f"text {i}.", LOCAL_64) for i in range(20)]
        for collection in ("support_docs", "docs"):
            self.vectors.seed(collection, rows, LOCAL_64.dimension)
        wish = BotRegistration("support", "support_docs", "local", MODEL)
        self.store.add_grant(ACME.owner, "*docs*", by="x")
        self.system.register_bot(ACME, wish)
        for token, caller in TOKENS.items():
            digest = hashlib.sha256(token.encode()).hexdigest()
            self.store.add_token(token, caller.owner, caller.role, digest, None)


class FakeServices:
    """What ``migrations.bootstrap`` assembles for real, without its vendors' packages."""

    def __init__(self, world: World) -> None:
        self.system = world.system
        self.compatibility = world.manager
        self.access = Access(world.store)
        self.grants = Grants(world.store)
        self.trail = Trail(world.services)
        self.vocabulary = OpenAIVocabulary()
        self.settings = world.services.settings
        self.turns = Turns(8, 4)
        self.spending = Spending(world.services)
        self.alias_readers = AliasReaders(world.services, self.spending)
        self.searching = Searching(world.services, self.spending)
        self.writers = world.writers
        self.history = History(world.services)
        self.left_behind = LeftBehind(world.services)
        self.spend = Spend(world.services)
        self._services = world.services

    @property
    def monitored(self) -> Monitored:
        """Made anew each time, so that whoever scrapes twice is told what is."""
        return Monitored(self._services, self.system.lookout)


@cache
def application() -> Flask:
    """One for all tests, as it keeps nothing: its description takes a while to write."""
    return create_app(FakeServices(World(0, settings={"secret_key": "k" * 32})))


class Api:
    """Requests as a client sends them; ``world`` is what stands behind them."""

    def __init__(self, **settings: Any) -> None:
        # All tests are counted together, for their application is the same.
        self.world = ApiWorld(
            settings={"requests_per_minute": 0, "dashboard_logins_per_minute": 0, **settings}
        )
        self.services = FakeServices(self.world)
        attach(application(), self.services)
        self.client: FlaskClient = application().test_client()

    def get(self, path: str, token: str | None = ACME_TOKEN, **kwargs: Any) -> TestResponse:
        return self.client.get(path, headers=_headers(token, kwargs), **kwargs)

    def post(self, path: str, token: str | None = ACME_TOKEN, **kwargs: Any) -> TestResponse:
        return self.client.post(path, headers=_headers(token, kwargs), **kwargs)

    def put(self, path: str, token: str | None = ACME_TOKEN, **kwargs: Any) -> TestResponse:
        return self.client.put(path, headers=_headers(token, kwargs), **kwargs)

    def patch(self, path: str, token: str | None = ACME_TOKEN, **kwargs: Any) -> TestResponse:
        return self.client.patch(path, headers=_headers(token, kwargs), **kwargs)

    def delete(self, path: str, token: str | None = ACME_TOKEN, **kwargs: Any) -> TestResponse:
        return self.client.delete(path, headers=_headers(token, kwargs), **kwargs)

    def start(self, **changes: Any) -> Migration:
        """A live migration of acme's bot, in batches of three."""
        wish = {**TARGET, "batch_size": 3, "retry_delay": 0.0, **changes}
        request = StartRequest("support", **wish)
        return self.world.system.start_migration(ACME, request).migration

    def kept(self, **changes: Any) -> str:
        """The target of a run of acme's bot that was cancelled late."""
        migration = self.start(**changes)
        self.world.deliver(before="migrations.phase.verification")
        self.world.system.cancel(ACME, "support")
        self.world.deliver()
        return migration.target_collection

    def progress(self, migration: Migration) -> Any:
        return self.get(f"/embeddings/migration/{migration.id}/progress").json

    def stored(self, migration_id: str) -> Migration:
        return self.world.store.migration(UUID(migration_id))

    def fail_bots(self, fault: Exception) -> None:
        """From now on, GET /bots meets this."""

        def bots(owner: str | None = None, **page: Any) -> Any:
            raise fault

        self.world.store.bots = bots  # type: ignore[method-assign]


def _headers(token: str | None, kwargs: dict[str, Any]) -> dict[str, str]:
    sent: dict[str, str] = kwargs.pop("headers", {})
    return sent if token is None else {"Authorization": f"Bearer {token}", **sent}
