"""Late writes, holding and taking over on PostgreSQL and Milvus; only the models are fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import pytest
from pymilvus import MilvusClient

from devstack.milvus_lite import MilvusLiteServer
from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.provider import vector_for
from migrations.adapters.clock import SystemClock
from migrations.adapters.milvus import MilvusVectorStore
from migrations.adapters.milvus.client import CHANNEL_OPTIONS
from migrations.compatibility import EmbeddingCompatibilityManager
from migrations.conductor import Conductor
from migrations.model.bots import Caller
from migrations.model.collection_names import apart, qualified
from migrations.model.config import EmbeddingRef, TargetIndex
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.store import SqlMigrationStore
from migrations.system import EmbeddingMigrationSystem
from migrations.watchdog import Watchdog
from migrations.way_back.kept import drop_kept, retire
from migrations.way_back.late_writes import sweep
from tests.contract.vector_store_world import InDatabase, make_collection
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import World

OWNER = Caller("owner")
CHUNKS = 30


class Stack:
    """A bot on real servers, and what a foreign writer does to its collections."""

    def __init__(
        self,
        database_url: str,
        uri: str,
        name: str,
        drop_originals: bool = True,
        database: str = "",
        **settings: Any,
    ) -> None:
        self.source, self.alias = qualified(name, database), qualified(f"{name}_live", database)
        self.uri, self.client = uri, _client(uri, database)
        self.sql = SqlMigrationStore(database_url)
        self.fakes = World(settings={"hold_hours": 24, **settings})
        self.services = replace(
            self.fakes.services,
            store=self.sql,
            vectors=MilvusVectorStore(uri),
            clock=SystemClock(),
        )
        # The driver of the fakes plays Celery; everything it drives is real.
        self.fakes.services = self.services
        self.fakes.conductor = Conductor(self.services)
        self.fakes.watchdog = Watchdog(self.services)
        self.system = EmbeddingMigrationSystem(self.services)
        make_collection(self.client, self.source)
        self.write(self.source, SMALL, {f"k{i:03}": f"text {i}" for i in range(CHUNKS)})
        self.client.create_alias(self.source, self.alias)
        self.sql.add_grant(OWNER.owner, f"{self.source}*", by="ops")
        wish = BotRegistration("bot", self.alias, "fake", "small", drop_originals=drop_originals)
        self.system.register_bot(OWNER, wish)

    def write(self, collection: str, ref: EmbeddingRef, texts: dict[str, str]) -> None:
        self.client.upsert(collection, _rows(ref, texts))

    def remove(self, collection: str, *keys: str) -> None:
        self.client.delete(collection, ids=list(keys))

    def double(self, collection: str, ref: EmbeddingRef, texts: dict[str, str]) -> None:
        """An insert of keys that are there: Milvus 2.3.5 keeps both rows of each."""
        self.client.insert(collection, _rows(ref, texts))

    def start(self, **asked: Any) -> Migration:
        wish = StartRequest("bot", "fake", LARGE.model, batch_size=5, retry_delay=0.1, **asked)
        return self.system.start_migration(OWNER, wish).migration

    def complete(self, **asked: Any) -> Migration:
        migration = self.start(**asked)
        self.fakes.deliver()
        now = self.sql.migration(migration.id)
        assert Status.COMPLETED == now.status, now.error
        return now

    @property
    def live(self) -> str:
        return self.sql.bot("bot").live.collection

    def texts(self, collection: str) -> dict[Any, str]:
        vectors = self.services.vectors
        pages = vectors.scan(vectors.describe(collection))
        return {chunk.key: chunk.fields["text"] for page in pages for chunk in page}

    def wrongly_embedded(self, collection: str, ref: EmbeddingRef) -> list[Any]:
        vectors = self.services.vectors
        pages = vectors.scan(vectors.describe(collection), with_vectors=True)
        return [
            chunk.key
            for page in pages
            for chunk in page
            if abs(chunk.vector - vector_for(ref.model, chunk.fields["text"], ref.dimension)).max()
            > 1e-6
        ]

    def close(self) -> None:
        self.client.drop_alias(self.alias)
        for name in self.client.list_collections():
            if name.startswith(apart(self.source)[1]):
                self.client.drop_collection(name)
        self.client.close()
        self.sql.close()


def _client(uri: str, database: str) -> MilvusClient:
    if not database:
        return MilvusClient(uri, dedicated=True, grpc_options=CHANNEL_OPTIONS)
    with closing(MilvusClient(uri, dedicated=True, grpc_options=CHANNEL_OPTIONS)) as client:
        client.create_database(database)
    return cast("MilvusClient", InDatabase(uri, database))


def _rows(ref: EmbeddingRef, texts: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"pk": key, "text": text, "vector": vector_for(ref.model, text, ref.dimension).tolist()}
        for key, text in texts.items()
    ]


@pytest.fixture
def stack(
    database_url: str, milvus_lite_server: MilvusLiteServer, collection_name: Callable[[], str]
) -> Iterator[Callable[..., Stack]]:
    yield from _makers(database_url, milvus_lite_server.url, collection_name)


@pytest.fixture
def standalone_stack(
    database_url: str,
    milvus_standalone_server: MilvusStandaloneServer,
    collection_name: Callable[[], str],
) -> Iterator[Callable[..., Stack]]:
    yield from _makers(database_url, milvus_standalone_server.url, collection_name)


def _makers(
    database_url: str, uri: str, collection_name: Callable[[], str]
) -> Iterator[Callable[..., Stack]]:
    made: list[Stack] = []

    def make(**settings: Any) -> Stack:
        made.append(Stack(database_url, uri, collection_name(), **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_exactly_the_stragglers_are_forwarded_and_the_second_sweep_is_quiet(
    stack: Callable[..., Stack],
) -> None:
    bot = stack()
    migration = bot.complete()
    bot.write(bot.live, LARGE, {"k005": "legitimate", "fresh": "legitimate"})
    bot.remove(bot.live, "k006")
    bot.write(bot.source, SMALL, {"k000": "changed late", "new": "a straggler", "k005": "loser"})
    bot.remove(bot.source, "k001")
    expected = {f"k{i:03}": f"text {i}" for i in range(CHUNKS) if i not in (1, 6)}
    expected |= {"k000": "changed late", "new": "a straggler"}
    expected |= {"k005": "legitimate", "fresh": "legitimate"}
    result = sweep(bot.services, migration)
    assert (2, 1, 1) == (result.applied, result.deleted, result.conflicts)
    assert expected == bot.texts(bot.live)
    assert [] == bot.wrongly_embedded(bot.live, LARGE)
    assert sweep(bot.services, migration).quiet
    (kept,) = bot.sql.conflicts(migration.id)
    assert ("k005", "loser") == (kept.key, (kept.fields or {})["text"])


def test_a_rollback_takes_stragglers_along(stack: Callable[..., Stack]) -> None:
    bot = stack()
    migration = bot.complete()
    bot.write(bot.live, LARGE, {"fresh": "legitimate"})
    bot.write(bot.source, SMALL, {"new": "a straggler"})
    bot.system.rollback(OWNER, migration.id)
    bot.fakes.deliver()
    assert bot.source == bot.live
    texts = bot.texts(bot.source)
    assert ("legitimate", "a straggler", CHUNKS + 2) == (texts["fresh"], texts["new"], len(texts))
    assert [] == bot.wrongly_embedded(bot.source, SMALL)


def test_the_old_collection_is_retired_when_quiet_and_dropped_when_unchanged(
    stack: Callable[..., Stack],
) -> None:
    bot = stack(retention_hours=0, hold_hours=0)
    migration = bot.complete()
    bot.write(bot.source, SMALL, {"new": "a straggler"})
    assert not retire(bot.services, migration.id)
    assert "a straggler" == bot.texts(bot.live)["new"]
    assert retire(bot.services, migration.id)
    assert bot.sql.bot("bot").previous is None
    assert drop_kept(bot.services, bot.source)
    assert not bot.client.has_collection(bot.source)


def test_an_original_is_released_stays_and_can_be_loaded_again(
    stack: Callable[..., Stack],
) -> None:
    bot = stack(retention_hours=0, hold_hours=0, drop_originals=False)
    migration = bot.complete()
    before = bot.texts(bot.source)
    assert retire(bot.services, migration.id)
    assert not drop_kept(bot.services, bot.source)
    assert not bot.services.vectors.is_loaded(bot.source)
    (held,) = bot.system.status(OWNER, "bot").held
    assert (bot.source, True, None) == (held.collection, held.stays, held.drop_after)
    assert not drop_kept(bot.services, bot.source)
    bot.services.vectors.load(bot.source)
    assert before == bot.texts(bot.source)


def test_a_write_to_a_retired_collection_keeps_it(stack: Callable[..., Stack]) -> None:
    bot = stack(retention_hours=0, hold_hours=0)
    migration = bot.complete()
    assert retire(bot.services, migration.id)
    bot.write(bot.source, SMALL, {"k000": "one second before the drop"})
    assert not drop_kept(bot.services, bot.source)
    assert bot.client.has_collection(bot.source)
    assert "drop_refused" in [event.name for event in bot.sql.events(migration.id)]


def test_a_cancelled_run_is_taken_over_and_pays_only_for_what_is_missing(
    stack: Callable[..., Stack],
) -> None:
    bot = stack(verify_sample=1)
    first = bot.start()
    bot.fakes.deliver(before="migrations.batch")
    for _ in range(2):  # of six
        bot.fakes.work(bot.fakes.pending().pop(0))
    bot.system.cancel(OWNER, "bot")
    bot.fakes.deliver()
    (held,) = bot.sql.kept_of("bot")
    assert 10 == held.chunks
    assert not bot.services.vectors.is_loaded(held.collection)
    before = bot.sql.tokens_used(first.id)
    second = bot.complete()
    assert (first.target_collection, True) == (second.target_collection, second.target_adopted)
    texts = bot.texts(bot.source)
    assert texts == bot.texts(bot.live)
    paid = [bot.fakes.embedders.embedded[LARGE.model, text] for text in texts.values()]
    assert sum(paid) <= CHUNKS + 1  # and the one that verification embeds again
    assert bot.sql.tokens_used(second.id) < 3 * before
    assert [] == bot.sql.kept_of("bot")


# --- a database of its own ----------------------------------------------------------


def test_a_bot_moves_and_comes_back_within_its_database_and_the_alias_follows(
    standalone_stack: Callable[..., Stack],
) -> None:
    at = standalone_stack(database="sales")
    resolved = at.services.vectors.resolve_alias
    tried = TargetIndex(index_type="HNSW", params={"M": 16, "efConstruction": 64})
    migration = at.complete(index=tried)
    assert migration.target_collection == at.live == resolved(at.alias)
    assert at.live.startswith(f"{at.alias}__g2_")
    assert at.texts(at.source) == at.texts(at.live)
    assert [] == at.wrongly_embedded(at.live, LARGE)

    at.write(at.live, LARGE, {"fresh": "legitimate"})
    at.write(at.source, SMALL, {"new": "a straggler"})
    at.system.rollback(OWNER, migration.id)
    at.fakes.settle()
    assert at.source == at.live == resolved(at.alias)
    texts = at.texts(at.source)
    assert ("legitimate", "a straggler", CHUNKS + 2) == (texts["fresh"], texts["new"], len(texts))
    assert [] == at.wrongly_embedded(at.source, SMALL)
    with closing(MilvusClient(at.uri, dedicated=True, grpc_options=CHANNEL_OPTIONS)) as elsewhere:
        mine = apart(at.source)[1]
        assert not [name for name in elsewhere.list_collections() if name.startswith(mine)]


# --- keys that stand more than once -------------------------------------------------


def test_rows_that_milvus_keeps_beside_each_other_are_refused_or_carried_and_taken_back(
    standalone_stack: Callable[..., Stack],
) -> None:
    at = standalone_stack()
    at.client.flush(at.source)  # so that which of the rows is shown changes from query to query
    keys = [f"k{i:03}" for i in range(10)]
    at.double(at.source, SMALL, {key: f"newer {key}" for key in keys})
    refused = at.start()
    at.fakes.deliver()
    error = at.sql.migration(refused.id).error or {}
    assert "10 keys stand more than once" in error["message"]

    migration = at.complete(duplicate_keys="keep_one")
    assert CHUNKS == at.services.vectors.count(at.live) == len(at.texts(at.live))
    assert [] == at.wrongly_embedded(at.live, LARGE)
    carried = at.texts(at.live)
    assert all(carried[key] in {f"text {int(key[1:])}", f"newer {key}"} for key in keys)

    at.double(at.live, LARGE, {"k020": "newest"})
    EmbeddingCompatibilityManager(at.services, at.system).rollback_migration(OWNER, migration.id)
    at.fakes.settle()
    assert Status.ROLLED_BACK == at.sql.migration(migration.id).status
    assert at.source == at.live
    assert CHUNKS == at.services.vectors.count(at.source)
    assert [] == at.wrongly_embedded(at.source, SMALL)
    back = at.texts(at.source)
    assert [carried[key] for key in keys] == [back[key] for key in keys]
    assert back["k020"] in {"text 20", "newest"}, "Milvus may never show the second row"
