"""LlamaIndex and its Milvus store: an index of nodes, asked through its retriever."""

from __future__ import annotations

from typing import Any

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode
from llama_index.vector_stores.milvus import MilvusVectorStore
from llama_index.vector_stores.milvus.utils import BM25BuiltInFunction
from pymilvus import DataType
from speaking import embed, serve


class Model(BaseEmbedding):
    dimension: int

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return embed(self.dimension, texts)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


def _store(variant: str, uri: str, collection: str, dimension: int) -> MilvusVectorStore:
    more: dict[str, Any] = {}
    if variant == "scalar columns":
        more["scalar_field_names"] = ["title", "page"]
        more["scalar_field_types"] = [DataType.VARCHAR, DataType.INT64]
    if variant == "BM25":
        more["enable_sparse"] = True
        more["sparse_embedding_function"] = BM25BuiltInFunction()
    return MilvusVectorStore(
        uri=uri,
        collection_name=collection,
        dim=dimension,
        consistency_level="Strong",
        use_async_client=False,
        output_fields=["title"],
        **more,
    )


def _nodes(documents: list[dict[str, Any]]) -> list[TextNode]:
    return [
        TextNode(
            id_=f"node-{document['number']:04}",
            text=document["text"],
            metadata={"title": document["title"], "language": "en", "page": document["number"]},
            excluded_embed_metadata_keys=["page"],
        )
        for document in documents
    ]


def fill(
    variant: str, uri: str, collection: str, dimension: int, documents: list[dict[str, Any]]
) -> None:
    storage = StorageContext.from_defaults(vector_store=_store(variant, uri, collection, dimension))
    VectorStoreIndex(
        _nodes(documents), storage_context=storage, embed_model=Model(dimension=dimension)
    )


def _index(variant: str, uri: str, collection: str, dimension: int) -> VectorStoreIndex:
    return VectorStoreIndex.from_vector_store(
        _store(variant, uri, collection, dimension), embed_model=Model(dimension=dimension)
    )


def search(
    variant: str, uri: str, collection: str, dimension: int, questions: list[str], most: int
) -> list[list[dict[str, Any]]]:
    retriever = _index(variant, uri, collection, dimension).as_retriever(similarity_top_k=most)
    return [
        [
            {"text": hit.text, "title": hit.node.metadata["title"]}
            for hit in retriever.retrieve(asked)
        ]
        for asked in questions
    ]


def write(
    variant: str, uri: str, collection: str, dimension: int, documents: list[dict[str, Any]]
) -> None:
    _index(variant, uri, collection, dimension).insert_nodes(_nodes(documents))


serve({"fill": fill, "search": search, "write": write})
