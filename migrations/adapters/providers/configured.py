"""All embedding models this process can use, by the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Protocol

from migrations.adapters.providers import catalogue
from migrations.adapters.providers.catalogue import LOCAL_MODEL, LOCAL_PROVIDER, OPENAI_PROVIDER
from migrations.adapters.providers.keys import has_key, read_key
from migrations.adapters.providers.local import LocalEmbedder, LocalModel
from migrations.adapters.providers.openai_protocol import (
    Connection,
    Endpoint,
    OnHeaders,
    OwnDimensionEmbedder,
    ProtocolEmbedder,
    Shape,
)
from migrations.adapters.providers.tokens import estimate_tokens
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, UnknownModel, UnknownProvider
from migrations.model.known_models import ModelInfo
from migrations.model.roles import PLAIN, Roles, TextRole, assumed_roles, known_roles
from migrations.ports.embedders import Embedder
from migrations.settings import ModelSettings, ProviderSettings

#: OpenAI's own limits: the API reference of "Create embeddings".
_OPENAI_MAX_INPUTS = 2048
_OPENAI_MAX_TOKENS = 300_000
#: Longest input assumed of a model that only the settings name.
_UNSTATED_MAX_INPUT_TOKENS = 8192


class EmbedderSettings(Protocol):
    """The part of :class:`migrations.settings.Settings` that is read here."""

    @property
    def providers(self) -> dict[str, ProviderSettings]: ...
    @property
    def openai_base_url(self) -> str: ...
    @property
    def openai_api_key_env(self) -> str: ...
    @property
    def provider_timeout_seconds(self) -> float: ...


class ConfiguredEmbedders:
    """See :class:`migrations.ports.embedders.Embedders`.

    Safe to share among threads and over a fork.

    ``openai`` and ``local`` are built in; others come from the settings. A
    provider's key is read from the environment when it is first needed, and is
    held by its HTTP client alone.

    Args:
        settings: Providers, base URLs, names of key variables, timeout.
        on_headers: Told what providers say about their limits, see ``OnHeaders``.
    """

    def __init__(self, settings: EmbedderSettings, *, on_headers: OnHeaders | None = None) -> None:
        if LOCAL_PROVIDER in settings.providers:
            raise InvalidConfiguration(
                "REEMBED_PROVIDERS names a provider 'local', which is built in; name it otherwise."
            )
        self._settings = settings
        self._connections = {
            endpoint.provider: Connection(endpoint, on_headers) for endpoint in _endpoints(settings)
        }
        self._local = LocalModel()
        # Plain dict writes: two threads that find the same thing out write the same value.
        self._embedders: dict[tuple[EmbeddingRef, TextRole], Embedder] = {}
        self._asked: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"ConfiguredEmbedders({', '.join(self.providers())})"

    def close(self) -> None:
        """Close this process's connections; the next call opens them again."""
        for connection in self._connections.values():
            connection.close()

    def get(self, ref: EmbeddingRef, role: TextRole = PLAIN) -> Embedder:
        """The embedder of a model; nothing is sent yet.

        Raises:
            UnknownProvider, UnknownModel, ProviderKeyMissing.
            InvalidConfiguration: a dimension the model cannot give, a role it cannot be asked
                in, or ``local`` without wordllama installed.
        """
        embedder = self._embedders.get((ref, role))
        if embedder is None:
            embedder = self._embedders.setdefault((ref, role), self._make(ref, role))
        return embedder

    def known_roles(self, provider: str, model: str) -> Roles | None:
        """The settings' word counts for more than what is known of the model's name."""
        return self._stated_roles(provider, model) or known_roles(model)

    def assumed_roles(self, provider: str, model: str) -> Roles:
        return self._stated_roles(provider, model) or assumed_roles(model)

    def _stated_roles(self, provider: str, model: str) -> Roles | None:
        own = self._settings.providers.get(provider)
        stated = own.models.get(model) if own else None
        return stated.roles if stated else None

    def providers(self) -> Mapping[str, bool]:
        keys = {
            name: has_key(connection.endpoint.key_variable)
            for name, connection in self._connections.items()
        }
        return {**keys, LOCAL_PROVIDER: find_spec("wordllama") is not None}

    def known(self, provider: str, model: str) -> ModelInfo | None:
        """The catalogue's entry, as far as this provider's settings bear it out."""
        listed = catalogue.known(provider, model)
        own = self._settings.providers.get(provider)
        if own is None:
            return listed
        stated = own.models.get(model)
        if stated is not None:
            listed = _as_stated(provider, model, stated, listed)
        if listed is not None and not own.dimensions_supported:
            return replace(listed, dimensions=(listed.default_dimension,))
        return listed

    def catalogue(self) -> tuple[ModelInfo, ...]:
        """Models listed for a provider that is configured, and those the settings name."""
        named = [
            (provider, model)
            for provider, own in self._settings.providers.items()
            for model in own.models
        ]
        listed = [(info.provider, info.model) for info in catalogue.MODELS]
        infos = (
            self.known(provider, model)
            for provider, model in dict.fromkeys([*listed, *named])
            if provider in self.providers()
        )
        return tuple(info for info in infos if info is not None)

    def dimension_of(self, provider: str, model: str) -> int | None:
        info = self.known(provider, model)
        return info.default_dimension if info else self._asked.get((provider, model))

    def of_own_dimension(self, provider: str, model: str) -> Embedder:
        connection = self._connection(provider, model)
        read_key(provider, connection.endpoint.key_variable)
        ref = EmbeddingRef(provider=provider, model=model, dimension=1)
        return OwnDimensionEmbedder(ref, connection, self._learn_dimension)

    def _learn_dimension(self, ref: EmbeddingRef, dimension: int) -> None:
        self._asked[ref.provider, ref.model] = dimension

    def count_tokens(self, provider: str, model: str, text: str) -> int:
        """Exact for ``local``; for the others :func:`estimate_tokens`."""
        if provider == LOCAL_PROVIDER:
            return self._local.count_tokens(text)
        return estimate_tokens(text)

    def _make(self, ref: EmbeddingRef, role: TextRole) -> Embedder:
        info = self.known(ref.provider, ref.model)
        is_local = info is not None and ref.provider == LOCAL_PROVIDER
        connection = None if is_local else self._connection(ref.provider, ref.model)
        if info is not None and not info.supports(ref.dimension):
            raise InvalidConfiguration(
                f"{ref.provider}/{ref.model} cannot give {ref.dimension} dimensions, "
                f"but {_offer(info)}."
            )
        if connection is None:
            return LocalEmbedder(ref, self._local, role)
        read_key(ref.provider, connection.endpoint.key_variable)
        sends_dimensions = self._sends_dimensions(ref)
        return ProtocolEmbedder(ref, connection, sends_dimensions=sends_dimensions, role=role)

    def _connection(self, provider: str, model: str) -> Connection:
        if provider == LOCAL_PROVIDER:
            raise UnknownModel(f"The provider 'local' has one model, {LOCAL_MODEL}, not {model}.")
        connection = self._connections.get(provider)
        if connection is None:
            raise UnknownProvider(
                f"There is no provider {provider}; there are {', '.join(self.providers())}. "
                "Others are named in REEMBED_PROVIDERS."
            )
        return connection

    def _sends_dimensions(self, ref: EmbeddingRef) -> bool:
        """Only a model that takes the parameter gets it, and only to leave its default."""
        own = self._settings.providers.get(ref.provider)
        if own is not None and not own.dimensions_supported:
            return False
        return ref.dimension != self.dimension_of(ref.provider, ref.model)


def _endpoints(settings: EmbedderSettings) -> list[Endpoint]:
    builtin = Endpoint(
        OPENAI_PROVIDER,
        settings.openai_base_url,
        settings.openai_api_key_env,
        settings.provider_timeout_seconds,
        _OPENAI_MAX_INPUTS,
        _OPENAI_MAX_TOKENS,
        Shape(encoding_format="base64"),
    )
    named = [
        Endpoint(
            name,
            provider.base_url,
            provider.api_key_env,
            settings.provider_timeout_seconds,
            provider.max_inputs_per_request,
            provider.max_tokens_per_request,
            Shape(provider.headers, provider.query, provider.body, provider.encoding_format),
        )
        for name, provider in settings.providers.items()
    ]
    return [builtin, *named]


def _as_stated(
    provider: str, model: str, stated: ModelSettings, listed: ModelInfo | None
) -> ModelInfo:
    """What the settings say, and the catalogue's word on the rest if it means the same model."""
    if listed is None or listed.default_dimension != stated.dimension:
        most = _UNSTATED_MAX_INPUT_TOKENS
        listed = ModelInfo(provider, model, stated.dimension, None, most, None)
    return replace(listed, max_input_tokens=stated.max_input_tokens or listed.max_input_tokens)


def _offer(info: ModelInfo) -> str:
    if info.dimensions is None:
        return f"any from 1 to {info.default_dimension}"
    return " or ".join(map(str, info.dimensions))
