"""What the watchdog judges in time, however many bots there are and however slow Milvus is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from migrations.adapters.clock import SystemClock
from migrations.model.errors import VectorStoreUnavailable
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.store import SqlMigrationStore
from migrations.watchdog import Watchdog
from tests.contract.state_store_world import Memory, on_postgres
from tests.contract.state_store_world import World as StateWorld
from tests.fakes.world import World

BOTS = 10_000
BULK = """
INSERT INTO bots (bot_id, owner, alias, live_collection, provider, model, dimension, generation,
    key_field, text_field, vector_field)
SELECT 'many-' || n, 'owner', 'alias_' || n, 'collection_' || n, 'fake', 'small', 8, 1,
    'pk', 'text', 'vector'
FROM generate_series(1, :bots) AS n
"""
PROMISED_SECONDS = 60.0


class FarAway:
    """A vector store each of whose calls takes so long; every alias is as it should be."""

    def __init__(self, seconds: float, then: Exception | None = None) -> None:
        self._seconds, self._then = seconds, then
        self.asked = threading.Event()
        self.over = threading.Event()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._answer

    def _answer(self, alias: str, *_: Any) -> str:
        self.asked.set()
        self.over.wait(self._seconds)
        if self._then is not None:
            raise self._then
        return alias.replace("alias", "collection")


MILVUS = {
    "200 ms away": lambda: FarAway(0.2),
    "frozen": lambda: FarAway(30, VectorStoreUnavailable()),
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def state(database_url: str, engine: Engine) -> Iterator[StateWorld]:
    """Ten thousand bots, and what a test adds."""
    store = SqlMigrationStore(database_url)
    with engine.begin() as connection:
        connection.execute(text(BULK), {"bots": BOTS})
    yield on_postgres(Memory(store, engine))
    store.close()


@pytest.fixture(params=MILVUS)
def milvus(request: pytest.FixtureRequest) -> Iterator[FarAway]:
    far_away = MILVUS[request.param]()
    yield far_away
    far_away.over.set()


@pytest.fixture
def watched(state: StateWorld, database_url: str, milvus: FarAway) -> Iterator[StateWorld]:
    """The one worker that is left is looking, and has begun to ask about aliases."""
    store = SqlMigrationStore(database_url)
    fakes = World(settings={"watch_every_seconds": 0.2, "stalled_after_seconds": 12})
    others: dict[str, Any] = {"store": store, "vectors": milvus, "clock": SystemClock()}
    watchdog = Watchdog(replace(fakes.services, **others))
    watchdog.start()
    assert milvus.asked.wait(30)
    yield state
    watchdog.stop()
    milvus.over.set()
    store.close()


def silent(engine: Engine, migration: Migration) -> None:
    """Its worker is dead: nobody has spoken of it for 13 s."""
    told = "UPDATE migrations SET heartbeat_at = clock_timestamp() - interval '13 s' WHERE id = :id"
    with engine.begin() as connection:
        connection.execute(text(told), {"id": migration.id})


def within_what_is_promised(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PROMISED_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_a_killed_workers_run_is_driven_again_while_the_aliases_are_asked_about(
    watched: StateWorld, engine: Engine
) -> None:
    migration = watched.drive(watched.start(), Phase.VALIDATION)
    silent(engine, migration)
    assert within_what_is_promised(lambda: watched.now(migration).epoch == 2)


def test_a_deadline_is_kept_while_the_aliases_are_asked_about(
    watched: StateWorld, engine: Engine
) -> None:
    migration = watched.drive(watched.start(), Phase.VALIDATION)
    with engine.begin() as connection:
        connection.execute(text("UPDATE migrations SET deadline_at = clock_timestamp()"))
    assert within_what_is_promised(lambda: watched.now(migration).status is Status.ROLLING_BACK)
