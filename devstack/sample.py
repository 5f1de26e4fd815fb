"""``python -m devstack.sample``: a collection to follow the quickstart with, beside ``make up``.

As an application would have made it some time ago: three hundred passages of Python's own
documentation, with the vectors of the model that needs no key.
"""

from __future__ import annotations

from pymilvus import MilvusClient

from devstack.client import ApiClient
from devstack.corpus import python_corpus
from devstack.demo_bot import TIMEOUT_SECONDS, DemoBot
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.model.config import EmbeddingRef
from migrations.settings import get_settings

COLLECTION = "my_docs"
PASSAGES = 300
EMBEDDING = EmbeddingRef(provider="local", model="wordllama-l2-supercat", dimension=64)


def main() -> None:
    settings = get_settings()
    milvus = MilvusClient(uri=settings.milvus_uri, timeout=TIMEOUT_SECONDS)
    if milvus.has_collection(COLLECTION):
        print(f"There is a collection {COLLECTION} already; it is left as it is.")
        return
    embedders = ConfiguredEmbedders(settings)
    bot = DemoBot("docs", settings.milvus_uri, embedders, ApiClient("", None))
    bot.load(COLLECTION, python_corpus()[:PASSAGES], EMBEDDING)
    bot.close()
    embedders.close()
    print(f"{PASSAGES} passages are in {COLLECTION}, with {EMBEDDING.dimension} dimensions each.")


if __name__ == "__main__":
    main()
