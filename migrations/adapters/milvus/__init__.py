"""Milvus as the domain's vector store, by pymilvus.

The parts, in the order in which a reader wants them: ``store`` implements the
port, ``scan`` proves every page it reads, ``schema`` describes a collection and
makes another like it, ``rows`` packs and unpacks chunks, ``filters`` makes
every filter, ``client`` holds the connection, ``faults`` translates errors.
"""

from __future__ import annotations

from migrations.adapters.milvus.store import MilvusVectorStore

__all__ = ["MilvusVectorStore"]
