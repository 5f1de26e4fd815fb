from __future__ import annotations

import base64
from typing import Any

import numpy as np
import orjson
import pytest

from migrations.adapters.providers.response_vectors import decode_response
from migrations.adapters.providers.vectors import check_vectors
from migrations.model.chunks import Embedded
from migrations.model.errors import DimensionMismatch, InvalidVectors, ProviderUnavailable


def packed(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


def body_of(*embeddings: Any, **fields: Any) -> bytes:
    items = [{"index": index, "embedding": one} for index, one in enumerate(embeddings)]
    return orjson.dumps({"data": items, **fields})


def decode(body: bytes, count: int = 1, dimension: int | None = 2) -> Embedded:
    return decode_response(body, count=count, dimension=dimension, estimate=lambda: 7, source="p/m")


def test_base64_and_lists_give_the_same_array() -> None:
    embedded = decode(body_of(packed(0.5, -1.25), [0.5, -1.25]), count=2)

    assert [[0.5, -1.25], [0.5, -1.25]] == embedded.vectors.tolist()
    assert embedded.vectors.flags.writeable


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"usage": {"total_tokens": 3}}, 3),
        ({"usage": {"prompt_tokens": 4}}, 4),
        ({"usage": {"total_tokens": 0}}, 7),
        ({"usage": {"total_tokens": "many"}}, 7),
        ({"usage": None}, 7),
        ({}, 7),
    ],
)
def test_tokens_come_from_usage_and_else_from_the_estimate(
    usage: dict[str, Any], tokens: int
) -> None:
    assert tokens == decode(body_of(packed(1, 2), **usage)).tokens


def test_any_one_dimension_is_taken_when_none_is_expected() -> None:
    assert (1, 3) == decode(body_of(packed(1, 2, 3)), dimension=None).vectors.shape


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"error": {"message": "busy"}}',
        b'{"data": null}',
        b'{"data": [{"index": 0, "embe',
    ],
)
def test_what_is_no_answer_at_all_is_worth_another_try(body: bytes) -> None:
    with pytest.raises(ProviderUnavailable):
        decode(body)


@pytest.mark.parametrize(
    "embedding", [None, 3, "no base64!", packed(1, 2)[:-3], [[1, 2]], ["x", "y"], {}]
)
def test_what_is_no_vector_is_invalid(embedding: Any) -> None:
    with pytest.raises((InvalidVectors, DimensionMismatch)):
        decode(body_of(embedding))


@pytest.mark.parametrize("embeddings", [[], [packed(1, 2)] * 2])
def test_another_number_of_vectors_than_of_texts_is_invalid(embeddings: list[str]) -> None:
    items = [{"index": 0, "embedding": one} for one in embeddings]

    with pytest.raises(InvalidVectors, match=f"with {len(embeddings)} vectors"):
        decode(orjson.dumps({"data": items}))


@pytest.mark.parametrize(
    "indexes", [[0, 0, 1], [1, 2], [0, None, None], [0, "1"], [-1, 0], [True, 0], [0.0, 1]]
)
def test_an_index_that_is_missing_or_doubled_or_odd_is_invalid(indexes: list[Any]) -> None:
    items = [{"index": index, "embedding": packed(1, 2)} for index in indexes]

    with pytest.raises(InvalidVectors):
        decode(orjson.dumps({"data": items}), count=len(indexes))


def test_nan_written_into_json_is_found() -> None:
    embedded = decode(b'{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}')

    with pytest.raises(InvalidVectors, match="not finite"):
        check_vectors(embedded.vectors, "p/m")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([0.0, 0.0], "a zero vector"),
        ([np.nan, 1.0], "not finite"),
        ([-np.inf, np.inf], "not finite"),
    ],
)
def test_the_row_that_cannot_be_stored_is_named(bad: list[float], words: str) -> None:
    vectors = np.array([[1, 2], [3, 4], bad], dtype=np.float32)

    with pytest.raises(InvalidVectors, match=words) as caught:
        check_vectors(vectors, "p/m")

    assert {"position": 2} == caught.value.details


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_a_very_small_or_large_vector_is_a_vector(size: float) -> None:
    vectors = np.array([[size, 0]], dtype=np.float32)

    assert check_vectors(vectors, "p/m") is vectors


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}, {"index": 1}, {"index": "?"}])
def test_where_no_index_tells_one_from_another_the_lists_order_counts(
    index: dict[str, Any],
) -> None:
    items = [{"embedding": packed(number, 1), **index} for number in range(3)]
    embedded = decode(orjson.dumps({"data": items}), count=3)
    assert [[0, 1], [1, 1], [2, 1]] == embedded.vectors.tolist()


@pytest.mark.parametrize("empty", [[], ""])
def test_a_vector_without_numbers_is_no_vector_and_none_of_another_dimension(empty: Any) -> None:
    with pytest.raises(InvalidVectors, match="no vector"):
        decode(body_of(empty))


@pytest.mark.parametrize(("usage", "tokens"), [({"usage": {"total_tokens": 3}}, 3), ({}, 7)])
@pytest.mark.parametrize("embedding", [packed(1, 2, 3), "no base64!"])
def test_what_is_thrown_away_says_what_it_is_billed_with(
    embedding: str, usage: dict[str, Any], tokens: int
) -> None:
    with pytest.raises((InvalidVectors, DimensionMismatch)) as raised:
        decode(body_of(embedding, **usage))
    assert tokens == raised.value.billed_tokens
