"""Searching over HTTP: what is answered, and how what is wrong is said."""

from __future__ import annotations

import time
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.schemas import SearchResponse
from api.turns import LONGEST_IN_QUEUE_SECONDS, QUEUED_KEY
from migrations.model.errors import (
    ProviderRateLimited,
    ProviderUnavailable,
    ReembedError,
    VectorStoreUnavailable,
)
from tests.fakes.api_client import Api
from tests.fakes.embedders import LOCAL_64

SEARCH = "/bots/support/search"


@pytest.fixture
def api() -> Api:
    return Api()


def search(api: Api, **body: Any) -> TestResponse:
    return api.post(SEARCH, json={"text": "text 3.", **body})


def test_a_text_is_answered_by_chunks_and_by_which_generation(api: Api) -> None:
    answer = search(api, limit=2, output_fields=["page"])
    assert 200 == answer.status_code
    assert SearchResponse.model_validate_json(answer.data)
    told = answer.json
    assert (1, "support_docs", "COSINE") == (told["generation"], told["collection"], told["metric"])
    assert (LOCAL_64.fingerprint, "support") == (told["fingerprint"], told["bot_id"])
    best, other = told["results"][0]["hits"]
    assert {"key": "k003", "text": "text 3.", "fields": {"page": 1}} == {
        name: best[name] for name in ("key", "text", "fields")
    }
    assert best["score"] > 0.999 > other["score"]


def test_texts_are_answered_one_by_one_in_their_order(api: Api) -> None:
    answer = api.post(SEARCH, json={"texts": ["text 5.", "text 4."], "limit": 1})
    assert ["k005", "k004"] == [result["hits"][0]["key"] for result in answer.json["results"]]


def test_chunks_are_filtered_paged_and_judged_as_asked(api: Api) -> None:
    named = {"filter": "pk in {keys}", "filter_params": {"keys": ["k001", "k002"]}}
    hits = search(api, **named).json["results"][0]["hits"]
    assert {"k001", "k002"} == {hit["key"] for hit in hits}
    rest = search(api, **named, offset=1).json["results"][0]["hits"]
    assert hits[1:] == rest
    assert [] == search(api, **named, score_threshold=0.9999).json["results"][0]["hits"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "it needs a 'text' or 'texts', one of them"),
        ({"text": "a", "texts": ["b"]}, "it needs a 'text' or 'texts', one of them"),
        ({"text": ""}, "$.text: Must have 1 to 8000 characters"),
        ({"texts": []}, "$.texts: "),
        ({"texts": ["a"] * 101}, "$.texts: "),
        ({"text": "a", "limit": 0}, "$.limit: Must be at least 1."),
        ({"text": "a", "limit": 1001}, "$.limit: Must be at most 1000."),
        ({"text": "a", "limit": "10"}, "$.limit: Must be a whole number."),
        ({"text": "a", "offset": 16_000, "limit": 500}, "may be 16384 at the most"),
        ({"texts": ["a"] * 20, "limit": 501}, "may be 10000 at the most"),
        ({"text": "a", "consistency": "Session"}, "$.consistency: "),
        ({"text": "a", "hybrid": {"ranker": "best"}}, "$.hybrid.ranker: "),
        ({"text": "a", "filters": "x"}, "did you mean 'filter'?"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    api: Api, body: dict[str, Any], said: str
) -> None:
    answer = api.post(SEARCH, json=body)
    assert (422, "/problems/request-invalid") == (answer.status_code, answer.json["type"])
    assert said in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"filter": "page =="}, "refuses"),
        ({"filter": "page == {page}"}, "filter_params has no 'page'"),
        ({"hybrid": {}}, "BM25"),
    ],
)
def test_what_milvus_refuses_is_told_in_its_words(
    api: Api, body: dict[str, Any], said: str
) -> None:
    answer = search(api, **body)
    assert (400, "/problems/search-refused") == (answer.status_code, answer.json["type"])
    assert said in answer.json["detail"]


def test_a_text_that_the_model_refuses_is_told_so(api: Api) -> None:
    api.world.embedders.refuse("text")
    answer = search(api)
    assert (422, "/problems/question-refused") == (answer.status_code, answer.json["type"])


@pytest.mark.parametrize(
    ("fault", "code", "after"),
    [
        (ProviderUnavailable(), "provider-unavailable", "5"),
        (ProviderRateLimited(retry_after_seconds=17), "provider-rate-limited", "17"),
        (VectorStoreUnavailable(), "vector-store-unavailable", "5"),
    ],
)
def test_what_is_away_is_named_and_when_to_come_again(
    api: Api, fault: ReembedError, code: str, after: str
) -> None:
    if isinstance(fault, VectorStoreUnavailable):
        api.world.vectors.fail("find", fault)
    else:
        api.world.embedders.fail(fault, times=None)
    answer = search(api)
    assert (503, f"/problems/{code}", after) == (
        answer.status_code,
        answer.json["type"],
        answer.headers["Retry-After"],
    )


def test_an_unknown_bot_is_not_searched(api: Api) -> None:
    assert 404 == api.post("/bots/nobody/search", json={"text": "a"}).status_code
    assert 404 == api.post(SEARCH, "rival-token", json={"text": "a"}).status_code
    assert 200 == api.post(SEARCH, "admin-token", json={"text": "a"}).status_code


def test_who_has_waited_too_long_in_the_queue_is_refused_and_told_when_to_come(api: Api) -> None:
    def after(seconds: float) -> TestResponse:
        since = {QUEUED_KEY: time.monotonic() - seconds}
        return api.post(SEARCH, json={"text": "a"}, environ_overrides=since)

    refused = after(LONGEST_IN_QUEUE_SECONDS + 1)
    assert (429, "/problems/too-many-at-once") == (refused.status_code, refused.json["type"])
    assert refused.headers["Retry-After"]
    assert 200 == after(LONGEST_IN_QUEUE_SECONDS - 1).status_code


def test_searches_by_one_token_are_one_entry_of_the_trail(api: Api) -> None:
    for _ in range(3):
        search(api)
    entries = api.get("/trail", "admin-token").json["entries"]
    assert [("POST", "/bots/<bot_id>/search", "support")] == [
        (entry["method"], entry["route"], entry["subject"]) for entry in entries
    ]


def test_values_of_every_kind_are_answered(api: Api) -> None:
    odd = {"list": [1, 2], "deep": {"none": None, "big": 2**70}, "nan": float("nan"), "é": "\n"}
    row = {"pk": "odd", "text": "an odd text", "page": 1, **odd}
    api.world.vectors.put("support_docs", row)
    found = search(api, filter="pk == 'odd'", output_fields=["list", "deep", "é"])
    assert {n: odd[n] for n in ("list", "deep", "é")} == found.json["results"][0]["hits"][0][
        "fields"
    ]
    found = search(api, filter="pk == 'odd'", output_fields=["nan"])
    assert {"nan": None} == found.json["results"][0]["hits"][0]["fields"]
