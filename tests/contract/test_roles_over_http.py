"""Whole migrations to and from models in roles, each request on a real socket.

The state store, Milvus and Celery are fakes; the providers are not: what they are sent is what
decides about the vectors.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from devstack.provider import StubProvider
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.model.config import EmbeddingRef
from migrations.model.known_models import ModelInfo
from migrations.model.roles import PLAIN, Roles, TextRole, known_roles
from migrations.model.states import Status
from migrations.ports.embedders import Embedder
from migrations.settings import ProviderSettings, Settings
from tests.fakes.embedders import SMALL, FakeEmbedders
from tests.fakes.world import OWNER, World
from tests.unit.conftest import plain_logs

__all__ = ["plain_logs"]  # which pytest uses by itself: refusals write tracebacks

FAMILIES = {
    "E5": "intfloat/multilingual-e5-large",
    "Nomic": "nomic-embed-text-v1.5",
    "Voyage": "voyage-3-large",
    "Cohere": "embed-multilingual-v3.0",
    "Jina": "jina-embeddings-v3",
    "NIM": "nvidia/nv-embedqa-e5-v5",
}
DIMENSION = 64
MODELS = {"small": 8, "large": 16} | dict.fromkeys(FAMILIES.values(), DIMENSION)
_DRAWN = random.Random(4)
TEXTS = [
    " ".join(f"word{_DRAWN.randrange(300)}" for _ in range(_DRAWN.randrange(20, 50)))
    for _ in range(16)
]

Make = Callable[..., World]


class OverHttp(FakeEmbedders):
    """The providers of ``real`` in place of the fake ones."""

    def __init__(self, real: ConfiguredEmbedders) -> None:
        super().__init__(MODELS)
        self.real = real

    def get(self, ref: EmbeddingRef, role: TextRole = PLAIN) -> Embedder:
        return self.real.get(ref, role)

    def providers(self) -> Mapping[str, bool]:
        return self.real.providers()

    def known(self, provider: str, model: str) -> ModelInfo | None:
        return self.real.known(provider, model)

    def count_tokens(self, provider: str, model: str, text: str) -> int:
        return self.real.count_tokens(provider, model, text)


@pytest.fixture(scope="module")
def make() -> Iterator[Make]:
    """Makes worlds whose provider "fake" is the stub provider."""
    with pytest.MonkeyPatch.context() as patch, StubProvider(MODELS) as provider:
        patch.setenv("STUB_KEY", "stub-key-0123456789abcdef")
        stub = ProviderSettings(
            base_url=provider.base_url,
            api_key_env="STUB_KEY",
            models=MODELS,
            encoding_format="base64",
        )
        settings = Settings(
            _env_file=None,
            database_url="postgresql+psycopg2://unused",
            redis_url="redis://unused",
            milvus_uri="http://unused",
            providers={"fake": stub},
        )
        real = ConfiguredEmbedders(settings)
        yield lambda old=SMALL, **stated: World(
            TEXTS, embedders=OverHttp(real), old=old, stated=stated
        )
        real.close()


def ref_of(model: str) -> EmbeddingRef:
    documents, queries = known_roles(model) or Roles()
    return EmbeddingRef(
        provider="fake",
        model=model,
        dimension=DIMENSION,
        document_role=documents,
        query_role=queries,
    )


def to(model: str, **how: Any) -> dict[str, Any]:
    return {"provider": "fake", "model": model, "batch_size": len(TEXTS), **how}


@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_right_roles_go_there_and_back(make: Make, model: str) -> None:
    world = make()
    done = world.complete(**to(model))
    assert (Status.COMPLETED, None) == (done.status, done.error)
    live = world.bot.live
    assert ref_of(model) == live.embedding
    assert [] == world.wrongly_embedded(live.collection, ref_of(model))
    back = world.system.rollback(OWNER, done.id).migration
    world.deliver()
    assert Status.COMPLETED is world.now(back).status


@pytest.mark.parametrize("which", ["swapped", "missing"])
@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_wrong_roles_of_a_bot_are_refused_before_the_switch(
    make: Make, model: str, which: str
) -> None:
    known = known_roles(model) or Roles()
    role = known.queries if which == "swapped" else PLAIN
    world = make(ref_of(model), document_role=role)
    refused = world.complete(**to("large"))
    assert (Status.ROLLED_BACK, 1) == (refused.status, world.bot.live.generation)
    assert refused.error is not None
    # NIM answers nothing to a request without a role; the others answer with other vectors.
    unanswered = "missing" == which and model == FAMILIES["NIM"]
    told = "does not answer" if unanswered else "reproduces the stored vectors of"
    assert told in refused.error["message"]
