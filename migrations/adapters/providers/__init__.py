"""Embedding models: OpenAI and whatever speaks its protocol, and one in this process."""

from __future__ import annotations

from migrations.adapters.providers.configured import ConfiguredEmbedders
from migrations.adapters.providers.openai_protocol import OnHeaders

__all__ = ["ConfiguredEmbedders", "OnHeaders"]
