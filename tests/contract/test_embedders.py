"""What holds of every embedder: the fake, the local model, and OpenAI's protocol on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from devstack.provider import StubProvider
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.adapters.providers.catalogue import LOCAL_MODEL
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, TextRefused, UnknownModel, UnknownProvider
from migrations.ports.embedders import Embedders
from migrations.settings import Settings
from tests.fakes.embedders import FakeEmbedders

TEXTS = [f"passage {number} says that {'the sea is wide ' * (number % 7)}" for number in range(60)]

REFS = {
    "fake": EmbeddingRef(provider="fake", model="large", dimension=16),
    "local": EmbeddingRef(provider="local", model=LOCAL_MODEL, dimension=128),
    "openai": EmbeddingRef(provider="openai", model="text-embedding-3-small", dimension=1536),
}


@pytest.fixture(params=list(REFS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ref(kind: str) -> EmbeddingRef:
    return REFS[kind]


@pytest.fixture
def embedders(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedders]:
    if kind == "fake":
        yield FakeEmbedders()
        return
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    with StubProvider() as provider:
        settings = Settings(
            _env_file=None,
            database_url="postgresql+psycopg2://unused",
            redis_url="redis://unused",
            milvus_uri="http://unused",
            openai_base_url=provider.base_url,
        )
        configured = ConfiguredEmbedders(settings)
        yield configured
        configured.close()


def test_each_text_gets_a_float32_unit_vector_of_the_dimension(
    embedders: Embedders, ref: EmbeddingRef
) -> None:
    vectors = embedders.get(ref).embed(TEXTS).vectors

    assert (len(TEXTS), ref.dimension) == vectors.shape
    assert np.float32 == vectors.dtype
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_texts_vector_is_the_same_bits_whoever_is_embedded_with_it(
    embedders: Embedders, ref: EmbeddingRef
) -> None:
    embedder = embedders.get(ref)
    together = embedder.embed([*TEXTS, "long " * 3000]).vectors

    alone = [embedder.embed([text]).vectors[0] for text in TEXTS]

    assert [row.tobytes() for row in alone] == [row.tobytes() for row in together[: len(TEXTS)]]


def test_vectors_come_in_the_order_of_the_texts(embedders: Embedders, ref: EmbeddingRef) -> None:
    embedder = embedders.get(ref)

    forwards = embedder.embed(TEXTS).vectors
    backwards = embedder.embed(TEXTS[::-1]).vectors

    np.testing.assert_array_equal(forwards, backwards[::-1])
    assert len(TEXTS) == len({row.tobytes() for row in forwards})


def test_an_answer_is_read_after_it_has_come(embedders: Embedders, ref: EmbeddingRef) -> None:
    embedder = embedders.get(ref)
    first, second = embedder.ask(TEXTS[:3]), embedder.ask(TEXTS[3:6])
    for read, texts in ((second, TEXTS[3:6]), (first, TEXTS[:3])):
        expected, found = embedder.embed(texts), read()
        np.testing.assert_array_equal(expected.vectors, found.vectors)
        assert expected.tokens == found.tokens


def test_no_texts_cost_nothing(embedders: Embedders, ref: EmbeddingRef) -> None:
    embedded = embedders.get(ref).embed([])

    assert ((0, ref.dimension), 0) == (embedded.vectors.shape, embedded.tokens)


def test_tokens_grow_with_the_texts(embedders: Embedders, ref: EmbeddingRef) -> None:
    embedder = embedders.get(ref)

    assert 0 < embedder.embed(TEXTS[:10]).tokens < embedder.embed(TEXTS).tokens


def test_many_threads_get_their_own_answers(embedders: Embedders, ref: EmbeddingRef) -> None:
    embedder = embedders.get(ref)
    parts = [TEXTS[start : start + 6] for start in range(0, len(TEXTS), 6)] * 4
    expected = {text: embedder.embed([text]).vectors[0].tobytes() for text in TEXTS}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda part: embedder.embed(part).vectors, parts))

    for part, vectors in zip(parts, answers, strict=True):
        assert [expected[text] for text in part] == [row.tobytes() for row in vectors]


def test_an_empty_text_is_refused(embedders: Embedders, ref: EmbeddingRef) -> None:
    with pytest.raises(TextRefused):
        embedders.get(ref).embed(["a text", ""])


def test_an_embedder_knows_what_it_is(embedders: Embedders, ref: EmbeddingRef) -> None:
    assert ref == embedders.get(ref).ref


def test_an_unknown_provider_is_refused(embedders: Embedders) -> None:
    with pytest.raises(UnknownProvider):
        embedders.get(EmbeddingRef(provider="nobody", model="m", dimension=4))
    with pytest.raises(UnknownProvider):
        embedders.of_own_dimension("nobody", "m")


def test_an_unknown_model_is_refused(embedders: Embedders, ref: EmbeddingRef) -> None:
    unknown = ref.model_copy(update={"model": "no-such-model"})

    with pytest.raises(UnknownModel):
        embedders.get(unknown).embed(["a text"])
    with pytest.raises(UnknownModel):
        embedders.of_own_dimension(ref.provider, "no-such-model").ask(["a text"])()


def test_a_dimension_the_model_cannot_give_is_refused_before_anything_is_sent(
    embedders: Embedders, ref: EmbeddingRef
) -> None:
    with pytest.raises(InvalidConfiguration):
        embedders.get(ref.model_copy(update={"dimension": 20_000}))


def test_the_own_dimension_of_a_known_model_is_known(
    embedders: Embedders, ref: EmbeddingRef
) -> None:
    info = embedders.known(ref.provider, ref.model)

    assert info is not None
    assert info.default_dimension == embedders.dimension_of(ref.provider, ref.model)
    assert info.supports(ref.dimension)


def test_the_catalogue_lists_each_known_model_of_the_providers_once(
    embedders: Embedders, ref: EmbeddingRef
) -> None:
    listed = embedders.catalogue()

    assert embedders.known(ref.provider, ref.model) in listed
    assert len(listed) == len({(info.provider, info.model) for info in listed})
    assert {info.provider for info in listed} <= set(embedders.providers())


def test_a_text_is_counted_in_tokens(embedders: Embedders, ref: EmbeddingRef) -> None:
    counts = [
        embedders.count_tokens(ref.provider, ref.model, "the sea is wide " * n) for n in (1, 10)
    ]

    assert 3 <= counts[0] <= 8
    assert 8 * counts[0] <= counts[1] <= 12 * counts[0]


def test_every_provider_says_whether_it_can_be_used(
    embedders: Embedders, ref: EmbeddingRef
) -> None:
    assert embedders.providers()[ref.provider] is True
