"""Embedding models without a provider: the vectors the stub provider would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from devstack.provider import tokens_of, vector_for, vectors_for
from devstack.provider.families import WrongRole
from devstack.provider.vectors import NOTHING
from migrations.adapters.providers import catalogue
from migrations.adapters.providers.catalogue import LOCAL_MODEL, LOCAL_PROVIDER
from migrations.model.chunks import Embedded
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    InvalidConfiguration,
    ProviderKeyMissing,
    ReembedError,
    TextRefused,
    TextTooLong,
    UnknownModel,
    UnknownProvider,
)
from migrations.model.known_models import ModelInfo
from migrations.model.roles import PLAIN, Roles, TextRole, assumed_roles, known_roles
from migrations.ports.embedders import Embedder
from tests.fakes.limiter import FakeRateLimiter

#: Small models of the provider "fake", so that tests can look at whole vectors.
FAKE_MODELS = {"small": 8, "large": 16}


@dataclass(frozen=True)
class _Fault:
    error: ReembedError
    times: int | None
    containing: str | None
    model: str | None

    def concerns(self, model: str, texts: Sequence[str]) -> bool:
        if self.model not in (None, model):
            return False
        return self.containing is None or any(self.containing in text for text in texts)


class FakeEmbedders:
    """See :class:`migrations.ports.embedders.Embedders`.

    Providers are ``fake`` with ``models`` (name and dimension), and ``openai`` and
    ``local`` with what the catalogue knows. ``calls`` and ``texts`` count what was
    asked for, ``embedded`` how often each (model, text) was answered.
    ``on_embed`` is called with the texts of each call before anything else.
    With a ``limiter``, a call without its turn raises CalledOutOfTurn.
    """

    def __init__(self, models: Mapping[str, int] | None = None) -> None:
        self.models = dict(FAKE_MODELS if models is None else models)
        #: Further models of "fake", whose dimension only an answer tells.
        self.unlisted: dict[str, int] = {}
        self.limiter: FakeRateLimiter | None = None
        #: What an operator has stated of models.
        self.stated_roles: dict[str, Roles] = {}
        #: Tokens of all answers.
        self.billed = 0
        self.keyless: set[str] = set()
        self.max_inputs_per_request = 2048
        self.max_input_tokens = 8192
        #: What models really take, where that is less.
        self.takes: dict[str, int] = {}
        self.calls = 0
        self.texts = 0
        self.embedded: Counter[tuple[str, str]] = Counter()
        self.on_embed: Callable[[Sequence[str]], None] | None = None
        self._faults: list[_Fault] = []

    def fail(
        self,
        error: ReembedError,
        *,
        times: int | None = 1,
        containing: str | None = None,
        model: str | None = None,
    ) -> None:
        """Raise ``error`` from calls to ``model`` with a text holding ``containing``.

        None is any model, any text, and for ever. What the error is billed with is billed.
        """
        self._faults.append(_Fault(error, times, containing, model))

    def refuse(self, containing: str) -> None:
        """From now on refuse every request with such a text, as a provider's 400 does."""
        self.fail(TextRefused(f"refused: {containing}"), times=None, containing=containing)

    def recover(self) -> None:
        self._faults.clear()

    def without_key(self, provider: str) -> None:
        self.keyless.add(provider)

    def get(self, ref: EmbeddingRef, role: TextRole = PLAIN) -> Embedder:
        self._check_provider(ref.provider)
        info = self.known(ref.provider, ref.model)
        is_listed = ref.provider in (LOCAL_PROVIDER, "fake") and ref.model not in self.unlisted
        if info is None and is_listed:
            raise UnknownModel(f"{ref.provider} does not know {ref.model}.")
        if info is not None and not info.supports(ref.dimension):
            raise InvalidConfiguration(f"{ref} cannot be had.")
        return _FakeEmbedder(ref, self, role)

    def known_roles(self, provider: str, model: str) -> Roles | None:
        return self.stated_roles.get(model) or known_roles(model)

    def assumed_roles(self, provider: str, model: str) -> Roles:
        return self.stated_roles.get(model) or assumed_roles(model)

    def providers(self) -> Mapping[str, bool]:
        return {name: name not in self.keyless for name in ("openai", "fake", LOCAL_PROVIDER)}

    def known(self, provider: str, model: str) -> ModelInfo | None:
        if provider == "fake":
            dimension = self.models.get(model)
            if dimension is None:
                return None
            return ModelInfo("fake", model, dimension, None, self.max_input_tokens, 0.0)
        return catalogue.known(provider, model)

    def catalogue(self) -> tuple[ModelInfo, ...]:
        fakes = [self.known("fake", model) for model in self.models]
        listed = [info for info in catalogue.MODELS if info.provider in self.providers()]
        return tuple(info for info in (*fakes, *listed) if info is not None)

    def dimension_of(self, provider: str, model: str) -> int | None:
        info = self.known(provider, model)
        return info.default_dimension if info else None

    def of_own_dimension(self, provider: str, model: str) -> Embedder:
        self._check_provider(provider)
        dimension = self.unlisted.get(model, 1)
        return _FakeEmbedder(
            EmbeddingRef(provider=provider, model=model, dimension=dimension), self
        )

    def count_tokens(self, provider: str, model: str, text: str) -> int:
        return tokens_of(text)

    def answer(
        self, ref: EmbeddingRef, texts: Sequence[str], parameters: Mapping[str, Any] = NOTHING
    ) -> Embedded:
        if self.limiter is not None:
            self.limiter.use_turn(ref.provider)
        if self.on_embed is not None:
            self.on_embed(texts)
        self.calls += 1
        self.texts += len(texts)
        self._raise_fault(ref.model, texts)
        if max(map(tokens_of, texts), default=0) > self.takes.get(ref.model, self.max_input_tokens):
            raise TextTooLong("Reduce the number of tokens.")
        if "" in texts:
            raise TextRefused("A text is empty.", position=list(texts).index(""))
        if self.known(ref.provider, ref.model) is None and ref.model not in self.unlisted:
            raise UnknownModel(f"{ref.provider} does not know {ref.model}.")
        tokens = sum(map(tokens_of, texts))
        self.billed += tokens
        self.embedded.update((ref.model, text) for text in texts)
        model = parameters.get("model", ref.model)
        try:
            vectors = vectors_for(model, texts, ref.dimension, parameters)
        except WrongRole as error:
            raise TextRefused(str(error)) from error
        return Embedded(vectors, tokens)

    def _check_provider(self, provider: str) -> None:
        if provider not in self.providers():
            raise UnknownProvider(f"There is no provider {provider}.")
        if provider in self.keyless:
            raise ProviderKeyMissing(f"The key of {provider} is not set.")

    def _raise_fault(self, model: str, texts: Sequence[str]) -> None:
        for position, fault in enumerate(self._faults):
            if fault.concerns(model, texts):
                self._use_up(position, fault)
                self.billed += fault.error.billed_tokens
                raise fault.error

    def _use_up(self, position: int, fault: _Fault) -> None:
        if fault.times is None:
            return
        if fault.times <= 1:
            del self._faults[position]
        else:
            self._faults[position] = replace(fault, times=fault.times - 1)


@dataclass(frozen=True)
class _FakeEmbedder:
    ref: EmbeddingRef
    _embedders: FakeEmbedders
    role: TextRole = PLAIN

    def requests(self, texts: Sequence[str]) -> Sequence[slice]:
        size = self._embedders.max_inputs_per_request
        return [slice(start, start + size) for start in range(0, len(texts), size)]

    def embed(self, texts: Sequence[str]) -> Embedded:
        sent = self.role.around_all(texts)
        if not self.role.parameters:  # some tests answer in a way of their own
            return self._embedders.answer(self.ref, sent)
        return self._embedders.answer(self.ref, sent, self.role.parameters)

    def ask(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        embedded = self.embed(texts)
        return lambda: embedded


def vector_in(
    ref: EmbeddingRef, text: str, role: TextRole | None = None
) -> npt.NDArray[np.float32]:
    """What the fake answers for a text: as its document, or in another role."""
    role = ref.document_role if role is None else role
    model = str(role.parameters.get("model", ref.model))
    return vector_for(model, role.around(text), ref.dimension, role.parameters)


#: The local model under its own name, for tests that go from or to it.
LOCAL_64 = EmbeddingRef(provider=LOCAL_PROVIDER, model=LOCAL_MODEL, dimension=64)
LOCAL_256 = EmbeddingRef(provider=LOCAL_PROVIDER, model=LOCAL_MODEL, dimension=256)
SMALL = EmbeddingRef(provider="fake", model="small", dimension=8)
LARGE = EmbeddingRef(provider="fake", model="large", dimension=16)
