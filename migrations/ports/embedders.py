"""Embedding providers as the domain sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from migrations.model.chunks import (
    Embedded,
)
from migrations.model.config import EmbeddingRef
from migrations.model.known_models import ModelInfo


class Embedder(Protocol):
    """One model of one provider at one dimension."""

    @property
    def ref(self) -> EmbeddingRef: ...

    def requests(self, texts: Sequence[str]) -> Sequence[slice]:
        """How :meth:`embed` would cut these texts into requests the provider takes."""
        ...

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One request (or a few) for these texts; float32, finite, non-zero, in order.

        Raises:
            TextRefused: the provider answers 400 for this input.
            ProviderAuthenticationFailed, ProviderQuotaExhausted, UnknownModel.
            DimensionMismatch, InvalidVectors.
            ProviderRateLimited, ProviderUnavailable: try again.
        """
        ...

    def ask(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        """As :meth:`embed`, in two steps: return with the answer, unread, and read it when called.

        Reading takes nothing of the provider, so the next may ask meanwhile. Each step
        raises what :meth:`embed` raises.
        """
        ...


class Embedders(Protocol):
    """All configured providers."""

    def get(self, ref: EmbeddingRef) -> Embedder:
        """The embedder of a model, one per process.

        Raises:
            UnknownProvider, ProviderKeyMissing, InvalidConfiguration (a dimension
            the catalogue knows the model cannot give).
        """
        ...

    def providers(self) -> Mapping[str, bool]:
        """Names of all providers, and whether each has its key."""
        ...

    def known(self, provider: str, model: str) -> ModelInfo | None:
        """The catalogue's entry, None for a model it does not list."""
        ...

    def catalogue(self) -> tuple[ModelInfo, ...]:
        """Every known model of the configured providers."""
        ...

    def find_dimension(self, provider: str, model: str) -> int:
        """The model's own dimension: from the catalogue, else by asking the model.

        Raises:
            UnknownProvider, UnknownModel, ProviderKeyMissing and what ``embed`` raises.
        """
        ...

    def count_tokens(self, provider: str, model: str, text: str) -> int:
        """Tokens of a text, an estimate where the model's tokenizer is not at hand."""
        ...
