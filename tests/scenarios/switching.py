"""The switch under readers who take the pair from PostgreSQL, back and forth.

Two small collections of two models stand ready, so the switch itself is what is
measured: the real store's transaction and the real reconciler, at full speed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import numpy as np
from pymilvus import MilvusClient

from migrations.adapters.clock import SystemClock
from migrations.adapters.milvus import MilvusVectorStore
from migrations.model.bots import Bot, LivePair
from migrations.model.config import EmbeddingRef, MigrationConfig
from migrations.model.errors import ReembedError
from migrations.model.runs import NewMigration
from migrations.model.states import Kind, Phase
from migrations.model.texts import FieldRecipe
from migrations.process.services import Services
from migrations.store import SqlMigrationStore
from migrations.target.alias import reconcile
from tests.harness import rows
from tests.harness.world import LARGE, SMALL, Servers, numbered_texts
from tests.services.databases import unique_name

CHUNKS = 30
#: Of each reader, between an answer and the next question: fifty ask some 200 a second in all.
PAUSE_SECONDS = 0.2


@dataclass
class Stage:
    """One bot whose two collections are ready, and what switches it."""

    store: SqlMigrationStore
    vectors: MilvusVectorStore
    bot_id: str

    def switch(self) -> None:
        """One whole switch: intent, transaction, alias."""
        bot = self.store.bot(self.bot_id)
        migration_id = self._drawn_up(bot)
        for phase in list(Phase)[:-2]:
            self.store.begin_phase(migration_id, 1, phase)
            self.store.complete_phase(migration_id, 1, phase)
        self.store.begin_phase(migration_id, 1, Phase.FINALIZATION)
        self.store.begin_switch(migration_id, 1)
        self.store.switch(migration_id, 1, retention_hours=72)
        self.reconcile()
        for phase in (Phase.FINALIZATION, Phase.CLEANUP):
            if phase is Phase.CLEANUP:
                self.store.begin_phase(migration_id, 1, phase)
            self.store.complete_phase(migration_id, 1, phase)
        self.store.finish(migration_id, 1)

    def reconcile(self) -> None:
        # All that the reconciler needs of the services.
        own = cast("Services", _Own(self.store, self.vectors))
        try:
            reconcile(own, self.bot_id)
        except ReembedError:
            reconcile(own, self.bot_id)

    def _drawn_up(self, bot: Bot) -> UUID:
        to, other = _other(bot)
        config = MigrationConfig(
            bot_id=bot.bot_id,
            **_prefixed("from", bot.live.embedding),
            **_prefixed("to", to),
        )
        back = bot.previous is not None
        new = NewMigration(
            id=uuid4(),
            bot_id=bot.bot_id,
            requested_by="test",
            kind=Kind.REVERSE if back else Kind.FORWARD,
            config=config,
            source_collection=bot.live.collection,
            target_collection=other,
            source_generation=bot.live.generation,
            target_is_kept=back,
            target_adopted=back,
        )
        return self.store.create(new, 3)[0].id


@dataclass
class _Own:
    store: Any
    vectors: Any
    clock: Any = field(default_factory=SystemClock)
    #: Readers of the pair have no need of a drain.
    settings: Any = field(default_factory=lambda: SimpleNamespace(alias_drain_seconds=0))


def _prefixed(side: str, ref: EmbeddingRef) -> dict[str, Any]:
    names = ("provider", "model", "dimension", "manner")
    return {f"{side}_{name}": getattr(ref, name) for name in names}


def _other(bot: Bot) -> tuple[EmbeddingRef, str]:
    """The model and collection that are not live."""
    name = bot.live.collection
    if name.endswith("_small"):
        return LARGE, name.replace("_small", "_large")
    return SMALL, name.replace("_large", "_small")


class Readers:
    """Many threads that ask for known chunks with the pair of one row; each reads on its own."""

    def __init__(self, servers: Servers, bot_id: str, texts: dict[str, str], count: int) -> None:
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []
        self._servers, self._bot_id = servers, bot_id
        self._texts = list(texts.items())
        self._vectors = {
            ref: rows.embedded(ref, [text for _, text in self._texts]) for ref in (SMALL, LARGE)
        }
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(count)
        ]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        milvus = rows.connect(self._servers.milvus_url)
        store = SqlMigrationStore(self._servers.database_url)
        try:
            while not self._stopped.wait(PAUSE_SECONDS):
                self._ask(milvus, store, number)
                number += 7
        finally:
            store.close()
            milvus.close()

    def _ask(self, milvus: MilvusClient, store: SqlMigrationStore, number: int) -> None:
        place = number % len(self._texts)
        try:
            live = store.bot(self._bot_id).live
            question = self._vectors[live.embedding][place]
            assert np.shape(question) == (live.embedding.dimension,)
            hits = milvus.search(live.collection, data=[question], limit=1, timeout=30)[0]
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}"[:200])
            return
        found, key = (str(hits[0]["id"]) if hits else None), self._texts[place][0]
        if found == key:
            self.answered[live.embedding.model] += 1
        else:
            self.failures.append(f"asked {live.collection} for {key}, answered {found}")


def back_and_forth(
    servers: Servers, milvus: MilvusClient, *, switches: int, readers: int = 50
) -> str:
    """So many switches under so many readers: no error, no wrong pair, the alias follows."""
    texts = numbered_texts(CHUNKS)
    name = unique_name("c")
    for ref in (SMALL, LARGE):
        collection = f"{name}_{ref.model}"
        rows.make_collection(milvus, collection, ref.dimension)
        rows.fill(milvus, collection, ref, texts)
        milvus.load_collection(collection)
    store = SqlMigrationStore(servers.database_url)
    vectors = MilvusVectorStore(servers.milvus_url)
    bot = store.add_bot(_bot(name))
    milvus.create_alias(bot.live.collection, bot.alias)
    stage = Stage(store, vectors, bot.bot_id)
    with Readers(servers, bot.bot_id, texts, readers) as asking:
        begun = time.monotonic()
        for _ in range(switches):
            stage.switch()
        seconds = time.monotonic() - begun
    live = store.bot(bot.bot_id).live
    assert not asking.failures, f"{len(asking.failures)} failures: {asking.failures[:3]}"
    assert live.generation == 1 + switches
    assert rows.points_to(milvus, bot.alias) == live.collection
    assert set(asking.answered) == {SMALL.model, LARGE.model}, asking.answered
    store.close()
    return (
        f"{switches} switches in {seconds:.0f} s, "
        f"{sum(asking.answered.values())} right answers to {readers} readers"
    )


def _bot(name: str) -> Bot:
    now = datetime.now(UTC)
    return Bot(
        bot_id=unique_name("bot"),
        owner="owner",
        alias=f"{name}_live",
        live=LivePair(collection=f"{name}_small", embedding=SMALL, generation=1),
        key_field="id",
        recipe=FieldRecipe(field="text"),
        vector_field="vector",
        previous=None,
        created_at=now,
        updated_at=now,
    )
