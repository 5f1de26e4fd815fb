"""Haystack and its Milvus store: documents embedded by a component, written, and retrieved."""

from __future__ import annotations

from typing import Any

from haystack import Document
from milvus_haystack import MilvusDocumentStore, MilvusEmbeddingRetriever
from speaking import embed, serve


def _store(uri: str, collection: str) -> MilvusDocumentStore:
    return MilvusDocumentStore(
        collection_name=collection,
        connection_args={"uri": uri},
        consistency_level="Strong",
    )


def write(
    variant: str, uri: str, collection: str, dimension: int, documents: list[dict[str, Any]]
) -> None:
    vectors = embed(dimension, [_embedded(variant, document) for document in documents])
    _store(uri, collection).write_documents(
        [
            Document(
                id=f"doc-{document['number']:04}",
                content=document["text"],
                meta={"title": document["title"]},
                embedding=vector,
            )
            for document, vector in zip(documents, vectors, strict=True)
        ]
    )


def _embedded(variant: str, document: dict[str, Any]) -> str:
    """As Haystack's embedders make it, with ``meta_fields_to_embed=["title"]`` or without."""
    parts = [document["title"]] if variant == "meta fields" else []
    return "\n".join([*parts, document["text"]])


def search(
    variant: str, uri: str, collection: str, dimension: int, questions: list[str], most: int
) -> list[list[dict[str, Any]]]:
    retriever = MilvusEmbeddingRetriever(document_store=_store(uri, collection), top_k=most)
    found = [retriever.run(vector)["documents"] for vector in embed(dimension, questions)]
    return [[{"text": hit.content, "title": hit.meta["title"]} for hit in hits] for hits in found]


serve({"fill": write, "search": search, "write": write})
