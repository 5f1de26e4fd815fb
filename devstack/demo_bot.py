"""The demo's RAG bot: a collection of Python's own documentation, and questions about it.

It reads as an application of our users would: it asks for the live pair, embeds
the question with the live model and searches the live collection.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from pydantic import SecretStr
from pymilvus import DataType, MilvusClient

from devstack.client import ApiClient
from devstack.corpus import Passage
from devstack.system import RunningSystem
from migrations.adapters.milvus.client import CHANNEL_OPTIONS
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.model.config import EmbeddingRef
from migrations.settings import Settings

QUESTIONS = (
    "How do I read a file line by line?",
    "What is the difference between a list and a tuple?",
    "How can I run code when a with block ends?",
    "How do I parse JSON?",
    "What does yield do in a function?",
)
#: What an application may wait for one answer.
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Found:
    """One search result, in full, so that answers can be compared to the byte."""

    id: str
    title: str
    text: str
    score: float


def same_answers(one: dict[str, list[Found]], other: dict[str, list[Found]]) -> bool:
    """Same results in the same order, ids, titles and texts equal to the byte.

    Scores may differ in their last bit: the engine adds up the same products of
    the same vectors in another order once it has merged its segments.
    """
    return _contents(one) == _contents(other) and bool(
        np.allclose(_scores(one), _scores(other), rtol=0, atol=1e-6)
    )


def _contents(answers: dict[str, list[Found]]) -> list[tuple[str, str, str]]:
    return [(f.id, f.title, f.text) for found in answers.values() for f in found]


def _scores(answers: dict[str, list[Found]]) -> list[float]:
    return [f.score for found in answers.values() for f in found]


class DemoBot:
    def __init__(
        self, bot_id: str, milvus_uri: str, embedders: ConfiguredEmbedders, api: ApiClient
    ) -> None:
        self.bot_id = bot_id
        self._milvus = MilvusClient(
            uri=milvus_uri,
            timeout=TIMEOUT_SECONDS,
            dedicated=True,
            grpc_options=CHANNEL_OPTIONS,
        )
        self._embedders = embedders
        self._api = api

    def load(self, collection: str, passages: Sequence[Passage], embedding: EmbeddingRef) -> None:
        """Make the collection and fill it, as somebody did years ago."""
        self._create(collection, embedding.dimension)
        embedder = self._embedders.get(embedding, embedding.document_role)
        for start in range(0, len(passages), 500):
            part = passages[start : start + 500]
            vectors = embedder.embed([p.text for p in part]).vectors
            rows = [
                {"id": p.id, "title": p.title, "text": p.text, "vector": vector}
                for p, vector in zip(part, vectors, strict=True)
            ]
            self._milvus.upsert(collection, rows, timeout=TIMEOUT_SECONDS)
        # Answers come from the index, as they would after years, not from fresh rows.
        self._milvus.flush(collection, timeout=TIMEOUT_SECONDS)

    def _create(self, collection: str, dimension: int) -> None:
        schema = self._milvus.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=256)
        schema.add_field("title", DataType.VARCHAR, max_length=512)
        schema.add_field("text", DataType.VARCHAR, max_length=8192)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        index = self._milvus.prepare_index_params()
        index.add_index(
            "vector",
            index_type="HNSW",
            metric_type="COSINE",
            params={"M": 16, "efConstruction": 100},
        )
        self._milvus.create_collection(collection, schema=schema, index_params=index)

    def ask(self, question: str, limit: int = 3) -> list[Found]:
        bot = self._api.get(f"/bots/{self.bot_id}").body
        embedding = EmbeddingRef(**bot["embedding"])
        query = self._embedders.get(embedding, embedding.query_role).embed([question]).vectors
        hits = self._milvus.search(
            bot["collection"],
            data=[query[0]],
            limit=limit,
            output_fields=["title", "text"],
            timeout=TIMEOUT_SECONDS,
        )[0]
        return [
            Found(hit["id"], hit["entity"]["title"], hit["entity"]["text"], hit["distance"])
            for hit in hits
        ]

    def answers(self) -> dict[str, list[Found]]:
        return {question: self.ask(question) for question in QUESTIONS}

    def fingerprint(self, collection: str, passages: Sequence[Passage]) -> str:
        """SHA-256 over every row of the collection, vectors included, in key order."""
        digest = hashlib.sha256()
        keys = sorted(p.id for p in passages)
        for start in range(0, len(keys), 500):
            quoted = ", ".join(f'"{key}"' for key in keys[start : start + 500])
            rows = self._milvus.query(
                collection,
                filter=f"id in [{quoted}]",
                output_fields=["id", "title", "text", "vector"],
                consistency_level="Strong",
                timeout=TIMEOUT_SECONDS,
            )
            for row in sorted(rows, key=lambda row: row["id"]):
                digest.update("\0".join((row["id"], row["title"], row["text"])).encode())
                digest.update(np.asarray(row["vector"], dtype=np.float32).tobytes())
        return digest.hexdigest()

    def close(self) -> None:
        self._milvus.close()


@contextmanager
def demo_bot(bot_id: str, system: RunningSystem, api: ApiClient) -> Iterator[DemoBot]:
    """The bot as an application of its own, with its own connections."""
    settings = Settings(
        database_url=SecretStr(system.environment["REEMBED_DATABASE_URL"]),
        redis_url=SecretStr(system.environment["REEMBED_REDIS_URL"]),
        milvus_uri=system.environment["REEMBED_MILVUS_URI"],
    )
    embedders = ConfiguredEmbedders(settings)
    bot = DemoBot(bot_id, settings.milvus_uri, embedders, api)
    try:
        yield bot
    finally:
        bot.close()
        embedders.close()


class Reader:
    """A user who keeps asking while the bot is being moved; counts what went wrong."""

    def __init__(self, bot: DemoBot, pause_seconds: float = 0.25) -> None:
        self._bot = bot
        self._pause = pause_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.asked = 0
        self.failures: list[str] = []

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            question = QUESTIONS[self.asked % len(QUESTIONS)]
            self.asked += 1
            try:
                if not self._bot.ask(question):
                    self.failures.append("no results")
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
