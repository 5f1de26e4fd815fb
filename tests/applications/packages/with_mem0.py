"""mem0 and its memory: what a user said, added without a language model that infers from it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from mem0 import Memory
from mem0.embeddings.base import EmbeddingBase
from mem0.memory import main
from pymilvus import DataType, MilvusClient
from speaking import embed, serve

USER = "somebody"


class Model(EmbeddingBase):
    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return embed(self.dimension, [text])[0]


def _lemmatized(text: str) -> str:
    """As spaCy does it, roughly: its model would have to be downloaded."""
    return " ".join(word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower()))


_as_it_comes = main.lemmatize_for_bm25


def _memory(variant: str, uri: str, collection: str, dimension: int) -> Memory:
    main.lemmatize_for_bm25 = _as_it_comes if variant == "without spaCy" else _lemmatized
    memory = Memory.from_config(
        {
            "vector_store": {
                "provider": "milvus",
                "config": {
                    "url": uri,
                    "token": "",
                    "collection_name": collection,
                    "embedding_model_dims": dimension,
                },
            },
            # Asked for nothing: the model is ours, and nothing is inferred.
            "embedder": {"provider": "openai", "config": {"api_key": "no-key"}},
            "llm": {"provider": "openai", "config": {"api_key": "no-key"}},
            "history_db_path": str(Path(tempfile.mkdtemp()) / "history.db"),
        }
    )
    memory.embedding_model = Model(dimension)
    return memory


def _as_before_version_3(uri: str, collection: str, dimension: int) -> None:
    """The collection that earlier versions made, and later ones go on with."""
    client = MilvusClient(uri=uri)
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=512)
    schema.add_field("vectors", DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field("metadata", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("vectors", metric_type="L2", index_type="AUTOINDEX", index_name="vector_index")
    client.create_collection(collection, schema=schema, index_params=index)
    client.close()


def fill(
    variant: str, uri: str, collection: str, dimension: int, documents: list[dict[str, Any]]
) -> None:
    if variant == "before":
        _as_before_version_3(uri, collection, dimension)
    write(variant, uri, collection, dimension, documents)


def write(
    variant: str, uri: str, collection: str, dimension: int, documents: list[dict[str, Any]]
) -> None:
    memory = _memory(variant, uri, collection, dimension)
    for document in documents:
        memory.add(document["text"], user_id=USER, infer=False)


def search(
    variant: str, uri: str, collection: str, dimension: int, questions: list[str], most: int
) -> list[list[dict[str, Any]]]:
    memory = _memory(variant, uri, collection, dimension)
    found = [
        memory.search(asked, filters={"user_id": USER}, top_k=most, threshold=0.0)["results"]
        for asked in questions
    ]
    return [[{"text": hit["memory"]} for hit in hits] for hits in found]


serve({"fill": fill, "search": search, "write": write})
