"""Embedding providers as the domain sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from migrations.model.chunks import Embedded
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    DimensionMismatch,
    InvalidConfiguration,
    InvalidVectors,
    ProviderAuthenticationFailed,
    ProviderKeyMissing,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefuses,
    ProviderUnavailable,
    TextRefused,
    UnknownModel,
    UnknownProvider,
)
from migrations.model.known_models import ModelInfo
from migrations.model.roles import PLAIN, Roles, TextRole

#: All that asking a provider may come to instead of vectors.
PROVIDER_FAULTS = (
    *(UnknownProvider, UnknownModel, ProviderKeyMissing, InvalidConfiguration),
    *(ProviderAuthenticationFailed, ProviderQuotaExhausted, ProviderRefuses),
    *(DimensionMismatch, InvalidVectors, TextRefused),
    *(ProviderRateLimited, ProviderUnavailable),
)


class Embedder(Protocol):
    """One model of one provider at one dimension, asked in one role.

    Texts are given without the role's words, which are put round them here.

    Only :mod:`migrations.embedding.embed` calls it: there the limiter and the ledger see it.
    """

    @property
    def ref(self) -> EmbeddingRef: ...

    @property
    def role(self) -> TextRole: ...

    def requests(self, texts: Sequence[str]) -> Sequence[slice]:
        """How :meth:`embed` would cut these texts into requests the provider takes."""
        ...

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One request (or a few) for these texts; float32, finite, non-zero, in order.

        Raises:
            TextRefused: the provider refuses this request.
            ProviderAuthenticationFailed, ProviderQuotaExhausted, UnknownModel,
            InvalidConfiguration: one answer says so, which may be wrong.
            DimensionMismatch, InvalidVectors.
            ProviderRateLimited, ProviderUnavailable: try again.
            ProviderTooSlow: try again, with fewer texts.
            An error about an answer that is billed says how many tokens that was.
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

    def get(self, ref: EmbeddingRef, role: TextRole = PLAIN) -> Embedder:
        """The embedder of a model that is asked in ``role``, one per process.

        Raises:
            UnknownProvider, ProviderKeyMissing, InvalidConfiguration (a dimension
            the catalogue knows the model cannot give, a role it cannot be asked in).
        """
        ...

    def known_roles(self, provider: str, model: str) -> Roles | None:
        """How the settings, or else the model's family, want documents and queries; None if
        neither says."""
        ...

    def assumed_roles(self, provider: str, model: str) -> Roles:
        """Those of a migration's target where nobody says otherwise; plain ones if in doubt."""
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

    def dimension_of(self, provider: str, model: str) -> int | None:
        """The model's own dimension, from the catalogue or an answer; None when neither says."""
        ...

    def of_own_dimension(self, provider: str, model: str) -> Embedder:
        """For a model whose dimension is not known: it is, once this has been answered.

        The dimension of its ``ref`` means nothing.

        Raises:
            UnknownProvider, UnknownModel, ProviderKeyMissing.
        """
        ...

    def count_tokens(self, provider: str, model: str, text: str) -> int:
        """Tokens of a text, an estimate where the model's tokenizer is not at hand."""
        ...
