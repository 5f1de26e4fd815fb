"""Documents and questions on a real socket, for providers that want them told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from devstack.provider import StubProvider, tokens_of, vectors_for
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.adapters.providers.catalogue import LOCAL_MODEL
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, TextRefused
from migrations.model.roles import PLAIN, Roles, TextRole, known_roles
from migrations.settings import ProviderSettings, Settings

MODELS = (
    "intfloat/multilingual-e5-large",
    "nomic-embed-text-v1.5",
    "voyage-3-large",
    "embed-multilingual-v3.0",
    "jina-embeddings-v3",
    "nvidia/nv-embedqa-e5-v5",
)
DIMENSION = 32
TEXTS = [f"the text of number {number} and of nothing else" for number in range(5)]

Make = Callable[..., ConfiguredEmbedders]


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider(dict.fromkeys((*MODELS, "small"), DIMENSION)) as running:
        running.requests_seen = []
        yield running


@pytest.fixture
def make(provider: StubProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setenv("STUB_KEY", "stub-key-0123456789abcdef")
    made = []

    def make_embedders(**of_stub: Any) -> ConfiguredEmbedders:
        own = {"models": dict.fromkeys(MODELS, DIMENSION), "encoding_format": "base64"}
        of_stub = own | of_stub
        stub = ProviderSettings(base_url=provider.base_url, api_key_env="STUB_KEY", **of_stub)
        settings = Settings(
            _env_file=None,
            database_url="postgresql+psycopg2://unused",
            redis_url="redis://unused",
            milvus_uri="http://unused",
            providers={"stub": stub},
        )
        made.append(ConfiguredEmbedders(settings))
        return made[-1]

    yield make_embedders
    for one in made:
        one.close()


def ref(model: str) -> EmbeddingRef:
    return EmbeddingRef(provider="stub", model=model, dimension=DIMENSION)


def seen(provider: StubProvider) -> dict[str, Any]:
    assert provider.requests_seen
    return provider.requests_seen[-1]


def cosines(one: Any, other: Any) -> Any:
    return (one * other).sum(axis=1)


@pytest.mark.parametrize("model", MODELS)
def test_each_familys_provider_takes_documents_and_questions_as_it_wants_them(
    make: Make, model: str
) -> None:
    """The stub knows its families by words of its own: these are the same."""
    roles, embedders = known_roles(model), make()
    assert roles is not None
    documents, questions = (embedders.get(ref(model), role).embed(TEXTS).vectors for role in roles)
    near = cosines(documents, questions)
    assert 0.75 < near.min()
    assert near.max() < 0.97
    if model != MODELS[-1]:
        in_no_role = embedders.get(ref(model)).embed(TEXTS).vectors
        assert 0.75 < cosines(documents, in_no_role).min()
        assert cosines(documents, in_no_role).max() < 0.97


def test_words_are_put_round_each_text_and_paid_for(make: Make, provider: StubProvider) -> None:
    role = TextRole(prefix="passage: ", suffix=" .")
    embedded = make().get(ref(MODELS[0]), role).embed(TEXTS)
    sent = [f"passage: {text} ." for text in TEXTS]
    assert sent == seen(provider)["input"]
    assert sum(map(tokens_of, sent)) == embedded.tokens
    np.testing.assert_array_equal(vectors_for(MODELS[0], sent, DIMENSION), embedded.vectors)


def test_parameters_go_into_the_body_over_what_the_settings_say(
    make: Make, provider: StubProvider
) -> None:
    embedders = make(body={"input_type": "passage", "truncate": "NONE"})
    role = TextRole(parameters={"input_type": "query"})
    embedders.get(ref(MODELS[-1]), role).embed(TEXTS)
    assert ("query", "NONE") == (seen(provider)["input_type"], seen(provider)["truncate"])
    embedders.get(ref(MODELS[-1])).embed(TEXTS)
    assert "passage" == seen(provider)["input_type"]
    embedders.get(ref("small")).embed(TEXTS)
    assert TEXTS == seen(provider)["input"]


def test_a_role_may_be_a_name_of_the_model_itself(make: Make, provider: StubProvider) -> None:
    model = f"{MODELS[-1]}-passage"
    roles, embedders = known_roles(model), make()
    assert roles is not None
    by_name = [embedders.get(ref(model), role).embed(TEXTS).vectors for role in roles]
    assert f"{MODELS[-1]}-query" == seen(provider)["model"]
    of_model = known_roles(MODELS[-1])
    assert of_model is not None
    by_parameter = [embedders.get(ref(MODELS[-1]), role).embed(TEXTS).vectors for role in of_model]
    np.testing.assert_array_equal(by_parameter, by_name)


def test_a_role_that_the_provider_does_not_know_is_its_refusal(make: Make) -> None:
    role = TextRole(parameters={"task": "retrieval.sentence"})
    with pytest.raises(TextRefused, match="'task' must be one of"):
        make().get(ref("jina-embeddings-v3"), role).embed(TEXTS)


def test_requests_are_cut_by_what_is_sent(make: Make) -> None:
    embedders = make(max_tokens_per_request=60)
    plain = embedders.get(ref("small")).requests(TEXTS)
    wordy = embedders.get(ref("small"), TextRole(prefix="some words more: ")).requests(TEXTS)
    assert len(plain) < len(wordy)


def test_the_settings_word_on_roles_counts_for_more_than_a_models_name(make: Make) -> None:
    own = {"dimension": DIMENSION, "document_role": {"prefix": "ours: "}}
    embedders = make(models={MODELS[0]: own, "small": DIMENSION})
    assert Roles(TextRole(prefix="ours: "), PLAIN) == embedders.known_roles("stub", MODELS[0])
    assert Roles(TextRole(prefix="ours: "), PLAIN) == embedders.assumed_roles("stub", MODELS[0])
    assert known_roles(MODELS[1]) == embedders.known_roles("stub", MODELS[1])
    assert embedders.known_roles("stub", "small") is None
    assert Roles() == embedders.assumed_roles("stub", "small")


def test_the_local_model_takes_words_and_no_parameters(make: Make) -> None:
    local = EmbeddingRef(provider="local", model=LOCAL_MODEL, dimension=64)
    embedders = make()
    (wordy,) = embedders.get(local, TextRole(prefix="passage: ")).embed(["a text"]).vectors
    (same,) = embedders.get(local).embed(["passage: a text"]).vectors
    np.testing.assert_array_equal(same, wordy)
    with pytest.raises(InvalidConfiguration, match="takes no parameters"):
        embedders.get(local, TextRole(parameters={"task": "x"}))
