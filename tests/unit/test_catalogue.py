from __future__ import annotations

import pytest

from migrations.adapters.providers.catalogue import LOCAL_MODEL, MODELS, known


def test_no_model_is_listed_twice_at_one_provider() -> None:
    assert len(MODELS) == len({(info.provider, info.model) for info in MODELS})


def test_a_model_of_one_name_has_one_dimension_wherever_it_is_listed() -> None:
    facts = {(info.model, info.default_dimension, info.max_input_tokens) for info in MODELS}

    assert len(facts) == len({info.model for info in MODELS})


@pytest.mark.parametrize("info", MODELS, ids=lambda info: info.model)
def test_every_entry_can_give_its_own_dimension(info: object) -> None:
    assert info.supports(info.default_dimension)  # type: ignore[attr-defined]  # a ModelInfo


@pytest.mark.parametrize(
    ("model", "dimension", "price"),
    [
        ("text-embedding-3-small", 1536, 0.02),
        ("text-embedding-3-large", 3072, 0.13),
        ("text-embedding-ada-002", 1536, 0.10),
    ],
)
def test_openais_models_have_dimension_and_price(model: str, dimension: int, price: float) -> None:
    info = known("openai", model)

    assert info is not None
    assert (dimension, price) == (info.default_dimension, info.price_per_million_tokens_usd)


@pytest.mark.parametrize(
    ("provider", "model", "dimension", "possible"),
    [
        ("openai", "text-embedding-3-large", 256, True),
        ("openai", "text-embedding-3-large", 3073, False),
        ("openai", "text-embedding-3-large", 0, False),
        ("openai", "text-embedding-ada-002", 512, False),
        ("local", LOCAL_MODEL, 64, True),
        ("local", LOCAL_MODEL, 100, False),
    ],
)
def test_a_dimension_is_possible_or_not(
    provider: str, model: str, dimension: int, possible: bool
) -> None:
    info = known(provider, model)

    assert info is not None
    assert possible is info.supports(dimension)


def test_the_local_model_costs_nothing() -> None:
    info = known("local", LOCAL_MODEL)

    assert info is not None
    assert 0 == info.price_per_million_tokens_usd


def test_a_known_model_at_another_provider_keeps_its_dimension_and_loses_its_price() -> None:
    info = known("my-gateway", "text-embedding-3-large")

    assert info is not None
    assert ("my-gateway", 3072, None) == (
        info.provider,
        info.default_dimension,
        info.price_per_million_tokens_usd,
    )


def test_an_unlisted_model_is_unknown() -> None:
    assert known("openai", "no-such-model") is None


def test_the_local_model_is_found_at_local_alone_and_local_has_no_other() -> None:
    assert known("my-gateway", LOCAL_MODEL) is None
    assert known("local", "text-embedding-3-large") is None
