"""A stub embedding provider: OpenAI's protocol on a real socket, misbehaving on demand.

    with StubProvider({"small": 8, "large": 16}) as provider:
        provider.misbehave("rate_limited", times=2, retry_after_seconds=0.1)
        client = OpenAI(base_url=provider.base_url, api_key="any")

Vectors are a function of model and text (:func:`vector_for`), so that any
stored row can be checked without asking. Models named like those of E5, Nomic,
Voyage, Cohere, Jina or NIM want to be told documents and queries apart, as theirs do.
``python -m devstack.provider`` runs it as a process of its own, steered by
``POST /_control`` and read by ``GET /_stats``.
"""

from __future__ import annotations

from devstack.provider.misbehaviour import KINDS, Fault
from devstack.provider.server import StubProvider
from devstack.provider.vectors import tokens_of, vector_for, vectors_for

__all__ = ["KINDS", "Fault", "StubProvider", "tokens_of", "vector_for", "vectors_for"]
