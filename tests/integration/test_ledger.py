"""What the ledger knows is what the provider bills, to the token: for runs and for errands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from devstack.provider import StubProvider, vector_for
from migrations.adapters.clock import SystemClock
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.compatibility import EmbeddingCompatibilityManager
from migrations.conductor import Conductor
from migrations.model.bots import Caller
from migrations.model.requests import BotRegistration, EstimateRequest, StartRequest
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.settings import ProviderSettings
from migrations.store import SqlMigrationStore
from migrations.system import EmbeddingMigrationSystem
from tests.fakes.embedders import SMALL
from tests.fakes.world import World

OWNER = Caller("owner")
#: The provider knows one more than the settings.
MODELS = {"small": 8, "large": 16, "unlisted": 4}
TEXTS = [f"text number {i} " + "and more " * i for i in range(30)]


class Billed:
    """A bot whose provider answers over HTTP and whose ledger is in PostgreSQL."""

    def __init__(self, provider: StubProvider, database_url: str) -> None:
        self.provider = provider
        self.store = SqlMigrationStore(database_url)
        own = ProviderSettings(
            base_url=provider.base_url, api_key_env="", models={"small": 8, "large": 16}
        )
        self.world = World(0, settings={"providers": {"fake": own}})
        self.services = replace(
            self.world.services,
            store=self.store,
            embedders=ConfiguredEmbedders(self.world.services.settings),
            clock=SystemClock(),
        )
        self.world.services = self.services
        self.world.conductor = Conductor(self.services)
        self.system = EmbeddingMigrationSystem(self.services)
        self.manager = EmbeddingCompatibilityManager(self.services, self.system)
        rows = [
            {"pk": f"k{i:03}", "text": text, "vector": vector_for("small", text, SMALL.dimension)}
            for i, text in enumerate(TEXTS)
        ]
        self.world.vectors.seed("zoo", rows, SMALL.dimension)
        self.store.add_grant(OWNER.owner, "zoo", by="ops")
        self.system.register_bot(OWNER, BotRegistration("zoo", "zoo", "fake", "small"))

    def start(self, model: str = "large") -> Migration:
        wish = StartRequest("zoo", "fake", model, batch_size=7, retry_delay=0.1)
        return self.system.start_migration(OWNER, wish).migration

    def billed_since(self, action: Callable[[], Any]) -> int:
        before = self.provider.stats()["tokens"]
        action()
        return int(self.provider.stats()["tokens"]) - before


@pytest.fixture
def zoo(database_url: str) -> Iterator[Billed]:
    with StubProvider(MODELS) as provider:
        one = Billed(provider, database_url)
        yield one
        one.store.close()


def test_a_registration_is_paid_by_the_bot_that_it_makes(zoo: Billed) -> None:
    assert 0 < zoo.provider.stats()["tokens"] == zoo.store.tokens_of_errands("zoo")


def validate(zoo: Billed) -> None:
    assert zoo.manager.validate_change(OWNER, "zoo", "fake", "large").report.passed


def estimate(zoo: Billed) -> None:
    zoo.manager.estimate_migration_time(OWNER, EstimateRequest("zoo", "fake", "large"))


def find_a_dimension(zoo: Billed) -> None:
    assert 4 == zoo.start("unlisted").config.to_dimension


@pytest.mark.parametrize("errand", [validate, estimate, find_a_dimension])
def test_an_errand_is_paid_by_its_bot(zoo: Billed, errand: Callable[[Billed], None]) -> None:
    before = zoo.store.tokens_of_errands("zoo")
    billed = zoo.billed_since(lambda: errand(zoo))
    assert 0 < billed == zoo.store.tokens_of_errands("zoo") - before
    assert [0] * len(zoo.store.active()) == [
        zoo.store.tokens_used(migration.id) for migration in zoo.store.active()
    ]


def test_a_run_pays_for_all_that_is_asked_on_its_way(zoo: Billed) -> None:
    errands = zoo.store.tokens_of_errands("zoo")
    migrations: list[Migration] = []

    def run() -> None:
        migrations.append(zoo.start())
        zoo.world.deliver()

    billed = zoo.billed_since(run)
    done = zoo.store.migration(migrations[0].id)
    assert Status.COMPLETED == done.status, done.error
    assert billed == zoo.store.tokens_used(done.id)
    assert errands == zoo.store.tokens_of_errands("zoo")
