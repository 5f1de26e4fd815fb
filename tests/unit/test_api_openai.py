"""OpenAI's own client at our API: what it is given, and which of its exceptions it raises."""

from __future__ import annotations

import base64
from collections.abc import Callable

import httpx2
import numpy as np
import openai
import pytest
from bpe_openai import get_encoding

from migrations.model import errors
from migrations.model.config import EmbeddingRef
from tests.fakes.api_client import ACME_TOKEN, Api, application
from tests.fakes.embedders import LOCAL_64, vector_in

ALIAS = "support_docs_live"


def client(token: str = ACME_TOKEN) -> openai.OpenAI:
    transport = httpx2.WSGITransport(app=application())
    return openai.OpenAI(
        api_key=token,
        base_url="http://reembed/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    )


@pytest.fixture
def api() -> Api:
    return Api()


def wanted(text: str, ref: EmbeddingRef = LOCAL_64) -> list[float]:
    return [float(x) for x in vector_in(ref, text)]


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_texts_are_answered_in_their_order_also_equal_ones(api: Api, encoding: str) -> None:
    texts = ["b", "a", "b"]
    given = client().embeddings.create(model=ALIAS, input=texts, encoding_format=encoding)
    vectors = [one.embedding for one in given.data]
    if encoding == "base64":
        vectors = [list(np.frombuffer(base64.b64decode(str(v)), "<f4")) for v in vectors]
    assert np.allclose([wanted(text) for text in texts], vectors, atol=1e-6)
    assert [0, 1, 2] == [one.index for one in given.data]
    assert given.usage.total_tokens > 0


def test_the_client_as_it_comes_asks_for_base64_and_gets_numbers(api: Api) -> None:
    given = client().embeddings.create(model=ALIAS, input="where?")
    assert np.allclose(wanted("where?"), given.data[0].embedding, atol=1e-6)


@pytest.mark.parametrize("many", [False, True])
def test_token_ids_are_the_text_they_stand_for(api: Api, many: bool) -> None:
    ids = get_encoding("cl100k_base").encode("Größe in 日本")
    given = client().embeddings.create(model=ALIAS, input=[ids, ids] if many else ids)
    assert np.allclose(wanted("Größe in 日本"), given.data[-1].embedding, atol=1e-6)
    assert (2 if many else 1) == len(given.data)


def test_models_are_the_callers_aliases_as_each_kind_of_text(api: Api) -> None:
    ids = [model.id for model in client().models.list()]
    assert [ALIAS, f"{ALIAS}:query", f"{ALIAS}:passage"] == ids
    assert "acme" == client().models.retrieve(f"{ALIAS}:passage").owned_by
    assert [] == list(client("rival-token").models.list())


Ask = Callable[[openai.OpenAI], object]


def embed(**changes: object) -> Ask:
    wish = {"model": ALIAS, "input": "where?", **changes}
    return lambda asked: asked.embeddings.create(**wish)  # type: ignore[arg-type]


WRONG: dict[str, tuple[Ask, type[openai.APIStatusError], str]] = {
    "unknown model": (embed(model="nothing"), openai.NotFoundError, "model_not_found"),
    "unknown kind": (embed(model=f"{ALIAS}:both"), openai.BadRequestError, "request_invalid"),
    "two kinds": (
        embed(model=f"{ALIAS}:query", extra_body={"input_type": "passage"}),
        openai.BadRequestError,
        "request_invalid",
    ),
    "other dimensions": (embed(dimensions=3), openai.BadRequestError, "invalid_dimensions"),
    "other vocabulary": (embed(input=[199_000]), openai.BadRequestError, "invalid_token_ids"),
    "negative id": (embed(input=[-1]), openai.BadRequestError, "invalid_token_ids"),
    "no text": (embed(input=""), openai.BadRequestError, "request_invalid"),
    "no texts": (embed(input=[]), openai.BadRequestError, "request_invalid"),
    "an empty one": (embed(input=["a", ""]), openai.BadRequestError, "request_invalid"),
    "too many": (embed(input=["a"] * 2049), openai.BadRequestError, "request_invalid"),
    "unknown of models": (
        lambda asked: asked.models.retrieve("nothing"),
        openai.NotFoundError,
        "model_not_found",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_use_raises_the_clients_own_exception(api: Api, what: str) -> None:
    ask, expected, code = WRONG[what]
    with pytest.raises(expected) as raised:
        ask(client())
    assert code == raised.value.code
    assert raised.value.body["message"].endswith(".")  # type: ignore[index]


def test_another_owners_bot_is_no_model_and_a_wrong_key_is_none(api: Api) -> None:
    with pytest.raises(openai.NotFoundError):
        embed()(client("rival-token"))
    with pytest.raises(openai.AuthenticationError):
        embed()(client("wrong"))


FAULTS: dict[str, tuple[errors.ReembedError, type[openai.APIStatusError], dict[str, str | None]]]
FAULTS = {
    "down": (
        errors.ProviderUnavailable(retry_after_seconds=90),
        openai.InternalServerError,
        {"retry-after": "90", "x-should-retry": None},
    ),
    "limit": (
        errors.ProviderRateLimited(retry_after_seconds=90),
        openai.RateLimitError,
        {"retry-after": "90", "x-should-retry": None},
    ),
    "no quota": (
        errors.ProviderQuotaExhausted(),
        openai.RateLimitError,
        {"x-should-retry": "false"},
    ),
    "key refused": (
        errors.ProviderAuthenticationFailed(),
        openai.InternalServerError,
        {"x-should-retry": "false"},
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_the_provider_meets_is_told_as_openai_tells_it(api: Api, what: str) -> None:
    fault, expected, headers = FAULTS[what]
    api.world.embedders.fail(fault, times=None)
    with pytest.raises(expected) as raised:
        embed()(client())
    assert headers == {name: raised.value.response.headers.get(name) for name in headers}


def test_a_token_that_asks_too_often_is_told_when_to_go_on() -> None:
    from api import create_app

    asked = Api(requests_per_minute=1)
    transport = httpx2.WSGITransport(app=create_app(asked.services))
    limited = client().with_options(http_client=httpx2.Client(transport=transport))
    embed()(limited)
    with pytest.raises(openai.RateLimitError) as raised:
        embed()(limited)
    assert 1 <= int(raised.value.response.headers["retry-after"]) <= 60


def test_while_the_alias_moves_the_client_is_told_to_ask_again(api: Api) -> None:
    bot = api.world.store.bot("support")
    api.world.store.alias_moves("support", bot.live.collection, "elsewhere")
    with pytest.raises(openai.InternalServerError) as raised:
        embed()(client())
    assert ("alias_moves", "1") == (raised.value.code, raised.value.response.headers["retry-after"])
