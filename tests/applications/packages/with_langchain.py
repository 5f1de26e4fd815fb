"""LangChain's two Milvus stores: langchain-milvus, and the older one of langchain_community.

One script, for both are the same to their users; which one is the second argument.
"""

from __future__ import annotations

import sys
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from speaking import embed, serve

IS_COMMUNITY = sys.argv[1:] == ["community"]
if IS_COMMUNITY:
    from langchain_community.vectorstores.milvus import Milvus
else:
    from langchain_milvus import BM25BuiltInFunction, Milvus
    from pymilvus import DataType


class Model(Embeddings):
    def __init__(self, dimension: int, before: str = "") -> None:
        self.dimension = dimension
        self.before = before

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return embed(self.dimension, [self.before + text for text in texts])

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def _store(variant: str, uri: str, collection: str, dimension: int) -> Any:
    model: Any = Model(dimension)
    more: dict[str, Any] = {}
    match variant:
        case "text name of its own":
            more["text_field"] = "passage"
        case "own names":
            more |= {"text_field": "words", "vector_field": "direction", "primary_field": "number"}
        case "dynamic field":
            more["enable_dynamic_field"] = True
        case "metadata field":
            more["metadata_field"] = "about"
        case "nullable columns":
            nullable = {"dtype": DataType.VARCHAR, "kwargs": {"max_length": 512, "nullable": True}}
            more["metadata_schema"] = {"title": nullable}
        case "partition key":
            # Without the dynamic field, 0.4.0 makes an ordinary column of it.
            more |= {"partition_key_field": "tenant", "enable_dynamic_field": True}
        case "BM25":
            more["builtin_function"] = BM25BuiltInFunction()
            more["vector_field"] = ["dense", "sparse"]
            # milvus-lite takes no other than this one, which others choose by themselves.
            sparse = {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25"}
            dense = {"index_type": "AUTOINDEX", "metric_type": "COSINE"}
            more |= {"index_params": [dense, sparse], "search_params": [dense, sparse]}
        case "two embeddings":
            # The second one is of another length for good: it is not what is migrated.
            model = [model, Model(64, before="a note: ")]
            more["vector_field"] = ["of_text", "of_note"]
    arguments = {"connection_args": {"uri": uri}, "consistency_level": "Strong", **more}
    return Milvus(model, collection_name=collection, auto_id=variant == "no ids", **arguments)


def write(
    variant: str, uri: str, collection: str, dimension: int, documents: list[dict[str, Any]]
) -> None:
    store = _store(variant, uri, collection, dimension)
    ids = None if variant == "no ids" else [f"id-{d['number']:04}" for d in documents]
    store.add_documents([_document(variant, d) for d in documents], ids=ids)


def _document(variant: str, document: dict[str, Any]) -> Document:
    metadata: dict[str, Any] = {"title": document["title"], "page": document["number"]}
    if variant == "partition key":
        metadata["tenant"] = f"tenant {document['number'] % 3}"
    return Document(page_content=document["text"], metadata=metadata)


def search(
    variant: str, uri: str, collection: str, dimension: int, questions: list[str], most: int
) -> list[list[dict[str, Any]]]:
    store = _store(variant, uri, collection, dimension)
    more: dict[str, Any] = {}
    if variant in ("BM25", "two embeddings"):
        more = {"ranker_type": "weighted", "ranker_params": {"weights": [1.0, 0.0]}}
    found = [store.similarity_search(asked, k=most, **more) for asked in questions]
    return [
        [{"text": hit.page_content, "title": hit.metadata["title"]} for hit in hits]
        for hits in found
    ]


serve({"fill": write, "search": search, "write": write})
