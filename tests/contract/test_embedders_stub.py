"""The stub provider itself: what other tests take its word for."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import orjson
import pytest

from devstack.provider import StubProvider, tokens_of, vector_for, vectors_for
from devstack.provider.limits import Limits

TEXTS = [f"text number {number}" for number in range(400)]


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider({"small": 8, "large": 16}) as running:
        yield running


def post(provider_url: str, path: str, body: dict[str, Any]) -> Any:
    request = Request(provider_url.removesuffix("/v1") + path, orjson.dumps(body))  # noqa: S310
    with urlopen(request, timeout=10) as answer:  # noqa: S310  # our own loopback address
        return orjson.loads(answer.read())


def get(provider: StubProvider, path: str) -> Any:
    with urlopen(provider.base_url.removesuffix("/v1") + path, timeout=10) as answer:  # noqa: S310
        return orjson.loads(answer.read())


def test_a_vector_is_a_function_of_model_and_text() -> None:
    vectors = vectors_for("m", TEXTS, 64)

    assert len(TEXTS) == len({row.tobytes() for row in vectors})
    assert [row.tobytes() for row in vectors] == [vector_for("m", t, 64).tobytes() for t in TEXTS]
    assert not np.array_equal(vectors, vectors_for("another", TEXTS, 64))


def test_fewer_dimensions_are_the_first_of_more() -> None:
    short, full = vector_for("m", "text", 64), vector_for("m", "text", 3072)

    np.testing.assert_allclose(full[:64] / np.linalg.norm(full[:64]), short, rtol=1e-5)


def test_texts_near_in_one_model_are_near_in_another() -> None:
    first, second = (vectors_for(model, TEXTS, 1024) for model in ("one", "two"))
    pairs = list(combinations(range(len(TEXTS)), 2))
    likeness = [
        np.array([float(vectors[a] @ vectors[b]) for a, b in pairs[:20_000]])
        for vectors in (first, second)
    ]

    near = likeness[0] > 0.2

    assert near.sum() > 10
    assert (likeness[1][near] > 0.1).mean() > 0.95


def test_any_row_can_be_checked_over_http(provider: StubProvider) -> None:
    answer = post(provider.base_url, "/v1/embeddings", {"model": "large", "input": TEXTS[:3]})

    assert [0, 1, 2] == [item["index"] for item in answer["data"]]
    for text, item in zip(TEXTS, answer["data"], strict=False):
        np.testing.assert_allclose(vector_for("large", text, 16), item["embedding"], rtol=1e-6)
    assert {"prompt_tokens": 12, "total_tokens": 12} == answer["usage"]


def test_models_are_listed(provider: StubProvider) -> None:
    assert ["small", "large"] == [one["id"] for one in get(provider, "/v1/models")["data"]]


def test_a_text_embedded_again_is_counted_per_model(provider: StubProvider) -> None:
    for model, texts in [("small", ["a", "b"]), ("small", ["b", "c"]), ("large", ["a", "b"])]:
        post(provider.base_url, "/v1/embeddings", {"model": model, "input": texts})

    stats = get(provider, "/_stats")

    assert {
        "requests": 3,
        "answers": 3,
        "texts": 6,
        "tokens": 6 * tokens_of("a"),
        "distinct_texts": 5,
        "embedded_again": 1,
        "wasted_texts": 1,
        "roles": {},
        "statuses": {"200": 3},
    } == stats
    assert 2 == provider.statistics.times_embedded("small", "b")


def test_texts_are_counted_by_the_role_they_come_in() -> None:
    with StubProvider({"e5-small": 8, "voyage-3": 8}) as provider:
        for model, texts, more in [
            ("e5-small", ["passage: a", "passage: b", "c"], {}),
            ("e5-small", ["query: a"], {}),
            ("e5-small", ["a"], {}),
            ("voyage-3", ["a"], {"input_type": "query"}),
        ]:
            post(provider.base_url, "/v1/embeddings", {"model": model, "input": texts, **more})
        told = provider.stats()["roles"]
    assert {"document": 2, "none": 1} == told["e5-small"]["together"]
    assert {"query": 1, "none": 1} == told["e5-small"]["alone"]
    assert {"query": 1} == told["voyage-3"]["alone"]


def test_a_refused_or_lost_text_does_not_count_as_embedded(provider: StubProvider) -> None:
    request = {"model": "small", "input": ["a"]}
    provider.misbehave("server_error", times=1)
    provider.misbehave("reset", times=1)
    provider.misbehave("reset", times=1, billed=True)

    for _ in range(3):
        with pytest.raises(OSError):  # HTTPError and ConnectionResetError are both
            post(provider.base_url, "/v1/embeddings", request)

    assert 1 == provider.stats()["texts"]


def test_a_swapped_answer_has_right_indexes_and_wrong_vectors(provider: StubProvider) -> None:
    provider.misbehave("swapped")

    data = post(provider.base_url, "/v1/embeddings", {"model": "small", "input": TEXTS[:3]})["data"]

    assert [0, 1, 2] == [item["index"] for item in data]
    np.testing.assert_allclose(vector_for("small", TEXTS[2], 8), data[0]["embedding"], rtol=1e-6)


def test_a_drifted_model_answers_with_other_vectors(provider: StubProvider) -> None:
    provider.misbehave("drifted")

    data = post(provider.base_url, "/v1/embeddings", {"model": "small", "input": ["a"]})["data"]

    assert abs(float(vector_for("small", "a", 8) @ data[0]["embedding"])) < 0.95


def test_it_is_steered_and_read_over_http(provider: StubProvider) -> None:
    request = {"model": "small", "input": ["a"]}
    fault = {"kind": "rate_limited", "times": 1, "retry_after_seconds": 3}
    post(provider.base_url, "/_control", {"misbehave": fault})

    with pytest.raises(HTTPError) as caught:
        post(provider.base_url, "/v1/embeddings", request)
    post(provider.base_url, "/v1/embeddings", request)
    after = post(provider.base_url, "/_control", {"reset": True})

    assert (429, "3") == (caught.value.code, caught.value.headers["retry-after"])
    assert 0 == after["requests"]
    caught.value.close()


@pytest.mark.parametrize(
    "wish",
    [{"misbehave": {"kind": "nonsense"}}, {"misbehave": {"sort": "nan"}}, {"limit": {"x": 1}}],
)
def test_a_wish_it_does_not_know_is_refused(provider: StubProvider, wish: dict[str, Any]) -> None:
    with pytest.raises(HTTPError) as caught:
        post(provider.base_url, "/_control", wish)

    assert 400 == caught.value.code
    caught.value.close()


def test_behaving_again_clears_every_fault(provider: StubProvider) -> None:
    provider.misbehave("server_error")
    provider.misbehave("nan")

    provider.behave()

    post(provider.base_url, "/v1/embeddings", {"model": "small", "input": ["a"]})
    assert {"200": 1} == provider.stats()["statuses"]


def test_stopping_frees_the_port_though_a_client_still_waits(provider: StubProvider) -> None:
    provider.misbehave("hang", seconds=60)
    waiting = socket.create_connection(("127.0.0.1", provider.port))
    waiting.sendall(b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
    port = provider.port

    provider.stop()

    with StubProvider(port=port):
        waiting.close()


def test_limits_admit_the_rate_and_say_when_to_come_back() -> None:
    now = 0.0
    limits = Limits(
        requests_per_minute=60, tokens_per_minute=600, burst_seconds=1, clock=lambda: now
    )

    first, _ = limits.take(tokens=5)
    by_requests, headers = limits.take(tokens=1)
    now = 1.0
    after_a_second, _ = limits.take(tokens=10)

    assert [0, 1, 0] == pytest.approx([first, by_requests, after_a_second])
    assert ("1000", "1") == (headers["retry-after-ms"], headers["retry-after"])
    assert ("60", "0") == (
        headers["x-ratelimit-limit-requests"],
        headers["x-ratelimit-remaining-requests"],
    )


def test_a_refused_request_takes_nothing_from_the_limits() -> None:
    limits = Limits(
        requests_per_minute=60, tokens_per_minute=60, burst_seconds=1, clock=lambda: 0.0
    )
    limits.take(tokens=1)

    waits = [limits.take(tokens=1)[0] for _ in range(5)]

    assert [1] * 5 == pytest.approx(waits)


def test_it_runs_as_a_process_of_its_own_and_ends_when_told() -> None:
    command = [sys.executable, "-m", "devstack.provider", "--model", "mine=4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()

        answer = post(base_url, "/v1/embeddings", {"model": "mine", "input": ["a"]})
        process.send_signal(signal.SIGTERM)

        assert 0 == process.wait(timeout=10)
    assert 4 == len(answer["data"][0]["embedding"])


def test_a_model_of_a_planted_family_is_a_function_of_role_and_text_in_any_company() -> None:
    for parameters in ({}, {"input_type": "document"}, {"input_type": "query"}):
        vectors = vectors_for("voyage-3", TEXTS[:20], 32, parameters)
        alone = [vector_for("voyage-3", text, 32, parameters) for text in TEXTS[:20]]
        assert [row.tobytes() for row in vectors] == [row.tobytes() for row in alone]


def test_a_part_of_a_text_finds_it_best_with_the_right_roles() -> None:
    """So that a missing or swapped role costs what it does with real models: some, not all."""
    texts = [" ".join(f"w{(i * 37 + n * n) % 211}" for n in range(40)) for i in range(100)]
    parts = [" ".join(text.split()[25:38]) for text in texts]
    words = {"document": "passage: ", "query": "query: ", "none": ""}

    def recall(documents: str, queries: str) -> float:
        of_texts, of_parts = (
            vectors_for("e5-base-v2", [words[role] + text for text in asked], 48)
            for role, asked in ((documents, texts), (queries, parts))
        )
        return float(((of_parts @ of_texts.T).argmax(axis=1) == np.arange(100)).mean())

    right = recall("document", "query")
    assert right > 0.9 * recall("none", "none")
    assert right > recall("query", "document") + 0.05
