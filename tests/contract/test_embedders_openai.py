"""The OpenAI protocol on a real socket, against a provider that misbehaves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openai
import pytest

from devstack.provider import StubProvider, tokens_of, vectors_for
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    DimensionMismatch,
    InvalidConfiguration,
    InvalidVectors,
    ProviderAuthenticationFailed,
    ProviderKeyMissing,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderTooSlow,
    ProviderUnavailable,
    ReembedError,
    TextRefused,
    TextTooLong,
    UnknownModel,
)
from migrations.settings import ProviderSettings, Settings

KEY = "stub-key-0123456789abcdef"
LARGE = EmbeddingRef(provider="openai", model="text-embedding-3-large", dimension=3072)
SMALL = EmbeddingRef(provider="stub", model="small", dimension=8)
TEXTS = [f"text number {number}" for number in range(10)]

Make = Callable[..., ConfiguredEmbedders]


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider({"text-embedding-3-large": 3072, "small": 8}) as running:
        yield running


@pytest.fixture
def make(provider: StubProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes embedders whose ``openai`` and ``stub`` are the stub provider."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("STUB_KEY", KEY)
    made = []

    def make_embedders(
        *, on_headers: Any = None, timeout: float = 10, **of_stub: Any
    ) -> ConfiguredEmbedders:
        of_stub = {"encoding_format": "base64"} | of_stub
        stub = ProviderSettings(base_url=provider.base_url, api_key_env="STUB_KEY", **of_stub)
        settings = Settings(
            _env_file=None,
            database_url="postgresql+psycopg2://unused",
            redis_url="redis://unused",
            milvus_uri="http://unused",
            openai_base_url=provider.base_url,
            providers={"stub": stub},
            provider_timeout_seconds=timeout,
        )
        made.append(ConfiguredEmbedders(settings, on_headers=on_headers))
        return made[-1]

    yield make_embedders
    for one in made:
        one.close()


def failure(embedders: ConfiguredEmbedders, ref: EmbeddingRef = SMALL) -> ReembedError:
    with pytest.raises(ReembedError) as caught:
        embedders.get(ref).embed(TEXTS)
    return caught.value


# --- right answers ------------------------------------------------------------


def test_vectors_are_bit_for_bit_what_the_provider_computed(make: Make) -> None:
    embedded = make().get(LARGE).embed(TEXTS)

    np.testing.assert_array_equal(vectors_for(LARGE.model, TEXTS, 3072), embedded.vectors)
    assert sum(map(tokens_of, TEXTS)) == embedded.tokens


def test_fewer_dimensions_are_asked_for_where_the_model_can_give_them(make: Make) -> None:
    shorter = LARGE.model_copy(update={"dimension": 256})

    vectors = make().get(shorter).embed(TEXTS).vectors

    np.testing.assert_array_equal(vectors_for(LARGE.model, TEXTS, 256), vectors)


@pytest.mark.parametrize(
    ("ref", "of_stub"),
    [
        (LARGE, {}),  # its own dimension
        (SMALL, {}),  # a provider that does not take the parameter
        (SMALL, {"dimensions_supported": True, "models": {"small": 8}}),  # again its own
    ],
)
def test_dimensions_are_not_sent_without_need(
    make: Make, provider: StubProvider, ref: EmbeddingRef, of_stub: dict[str, Any]
) -> None:
    seen = requests_seen(provider)

    make(**of_stub).get(ref).embed(TEXTS)

    assert [False] == ["dimensions" in request for request in seen]


def test_we_ask_as_the_vendors_own_method_does(make: Make, provider: StubProvider) -> None:
    shorter = LARGE.model_copy(update={"dimension": 256})
    seen, headers = requests_seen(provider), []
    texts = [*TEXTS, 'quotes " and \\ and \u2028 and \N{PILE OF POO}']
    make().get(shorter).embed(texts)
    headers.append(provider.last_headers)
    with openai.OpenAI(api_key=KEY, base_url=provider.base_url) as plain:
        plain.embeddings.create(
            model=LARGE.model, input=texts, dimensions=256, encoding_format="base64"
        )
    headers.append(provider.last_headers)

    assert seen[0] == seen[1]
    for ours in headers:  # how long it is, how patient we are, and which method's it is
        for name in ("content-length", "x-stainless-read-timeout", "x-stainless-raw-response"):
            ours.pop(name, None)
    assert headers[0] == headers[1]


def test_dimensions_are_sent_to_a_named_provider_that_takes_them(make: Make) -> None:
    embedders = make(dimensions_supported=True)

    vectors = embedders.get(SMALL.model_copy(update={"dimension": 4})).embed(TEXTS).vectors

    np.testing.assert_array_equal(vectors_for("small", TEXTS, 4), vectors)


def test_a_request_has_the_shape_that_the_settings_give_it(
    make: Make, provider: StubProvider
) -> None:
    seen = requests_seen(provider)
    shape = {
        "headers": {"api-key": "{key}", "Authorization": None},
        "query": {"api-version": "2024-10-21"},
        "body": {"input_type": "passage", "truncate": "NONE"},
        "encoding_format": "float",
    }

    vectors = make(**shape).get(SMALL).embed(TEXTS).vectors

    assert (10, 8) == vectors.shape
    assert [("passage", "NONE", "float")] == [
        (request["input_type"], request["truncate"], request["encoding_format"]) for request in seen
    ]
    assert "api-version=2024-10-21" == provider.last_query
    assert (KEY, None) == tuple(provider.last_headers.get(n) for n in ("api-key", "authorization"))


def test_a_provider_that_refuses_base64_is_asked_without_it_from_then_on(
    make: Make, provider: StubProvider
) -> None:
    seen, embedders = requests_seen(provider), make(encoding_format="auto")
    provider.misbehave("refuse_base64")

    assert ProviderUnavailable is type(failure(embedders)), "it is worth another try"
    for _ in range(2):
        assert (10, 8) == embedders.get(SMALL).embed(TEXTS).vectors.shape
    assert ["base64", None, None] == [request.get("encoding_format") for request in seen]


def test_a_refusal_after_base64_was_answered_is_not_about_base64(
    make: Make, provider: StubProvider
) -> None:
    embedders = make(encoding_format="auto")
    embedders.get(SMALL).embed(TEXTS)
    provider.misbehave("refuse_text")

    assert [TextRefused] * 2 == [type(failure(embedders)) for _ in range(2)]


def test_a_first_text_that_is_refused_either_way_does_not_cost_base64(
    make: Make, provider: StubProvider
) -> None:
    seen, embedders = requests_seen(provider), make(encoding_format="auto")
    provider.misbehave("refuse_text", times=2)

    assert [ProviderUnavailable, TextRefused] == [type(failure(embedders)) for _ in range(2)]
    embedders.get(SMALL).embed(TEXTS)
    assert ["base64", None, "base64"] == [request.get("encoding_format") for request in seen]


def test_a_format_that_the_settings_name_is_kept(make: Make, provider: StubProvider) -> None:
    embedders = make(encoding_format="none")
    seen = requests_seen(provider)
    provider.misbehave("refuse_text", times=1)

    assert TextRefused is type(failure(embedders))
    embedders.get(SMALL).embed(TEXTS)
    assert [None, None] == [request.get("encoding_format") for request in seen]


def test_lists_of_floats_are_read_as_well_as_base64(make: Make, provider: StubProvider) -> None:
    provider.misbehave("floats")

    vectors = make().get(SMALL).embed(TEXTS).vectors

    np.testing.assert_allclose(vectors_for("small", TEXTS, 8), vectors, rtol=1e-6)


def test_items_in_another_order_are_put_right_by_their_index(
    make: Make, provider: StubProvider
) -> None:
    provider.misbehave("reordered")

    vectors = make().get(SMALL).embed(TEXTS).vectors

    np.testing.assert_array_equal(vectors_for("small", TEXTS, 8), vectors)


def test_tokens_are_estimated_when_the_provider_reports_none(
    make: Make, provider: StubProvider
) -> None:
    provider.misbehave("no_usage")

    embedded = make().get(SMALL).embed(TEXTS)

    assert 3 * len(TEXTS) <= embedded.tokens <= 5 * len(TEXTS)


def test_texts_above_the_inputs_of_a_request_are_split(make: Make, provider: StubProvider) -> None:
    seen = requests_seen(provider)

    embedded = make(max_inputs_per_request=4).get(SMALL).embed(TEXTS)

    assert [4, 4, 2] == [len(request["input"]) for request in seen]
    np.testing.assert_array_equal(vectors_for("small", TEXTS, 8), embedded.vectors)
    assert sum(map(tokens_of, TEXTS)) == embedded.tokens


def test_texts_above_the_tokens_of_a_request_are_split(make: Make, provider: StubProvider) -> None:
    seen = requests_seen(provider)
    texts = ["one two three four five", *TEXTS]

    embedded = make(max_tokens_per_request=9).get(SMALL).embed(texts)

    assert len(seen) > 3
    assert texts == [text for request in seen for text in request["input"]]
    np.testing.assert_array_equal(vectors_for("small", texts, 8), embedded.vectors)


def test_the_dimension_of_an_unlisted_model_is_known_from_its_first_answer_on(
    make: Make, provider: StubProvider
) -> None:
    embedders = make()
    assert None is embedders.dimension_of("stub", "small")

    embedded = embedders.of_own_dimension("stub", "small").ask(["a text"])()

    assert ((1, 8), tokens_of("a text")) == (embedded.vectors.shape, embedded.tokens)
    assert 8 == embedders.dimension_of("stub", "small")
    assert 1 == provider.stats()["requests"]


def test_the_settings_name_a_models_dimension(make: Make) -> None:
    assert 8 == make(models={"small": 8}).dimension_of("stub", "small")


def test_a_model_the_settings_name_is_in_the_catalogue(make: Make) -> None:
    listed = make(models={"small": 8}).catalogue()

    assert [(8, (8,))] == [
        (info.default_dimension, info.dimensions) for info in listed if info.provider == "stub"
    ]


def test_one_connection_serves_call_after_call(make: Make, provider: StubProvider) -> None:
    embedder = make().get(SMALL)

    for _ in range(5):
        embedder.embed(TEXTS)

    assert 1 == provider.connections_made


def test_a_forked_child_opens_its_own_connection(make: Make, provider: StubProvider) -> None:
    embedder = make().get(SMALL)
    embedder.embed(TEXTS)

    exit_code = in_child(lambda: embedder.embed(TEXTS))
    after = embedder.embed(TEXTS).vectors

    assert 0 == exit_code
    assert 2 == provider.connections_made
    np.testing.assert_array_equal(vectors_for("small", TEXTS, 8), after)


def test_threads_that_begin_at_once_share_one_client(make: Make) -> None:
    embedders = make()
    barrier = threading.Barrier(8)

    def embed(_: int) -> int:
        barrier.wait()
        return id(embedders.get(SMALL)) + len(embedders.get(SMALL).embed(TEXTS).vectors)

    with ThreadPoolExecutor(8) as pool:
        assert 1 == len(set(pool.map(embed, range(8))))


# --- wrong answers and refusals -----------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rate_limited", ProviderRateLimited),
        ("insufficient_quota", ProviderQuotaExhausted),
        ("server_error", ProviderUnavailable),
        ("unauthorized", ProviderAuthenticationFailed),
        ("forbidden", ProviderAuthenticationFailed),
        ("refuse_text", TextRefused),
        ("too_long", TextTooLong),
        ("refuse_dimensions", InvalidConfiguration),
        ("model_gone", UnknownModel),
        ("reset", ProviderUnavailable),
        ("cut_off", ProviderUnavailable),
        ("not_json", ProviderUnavailable),
        ("wrong_dimension", DimensionMismatch),
        ("nan", InvalidVectors),
        ("infinite", InvalidVectors),
        ("zeros", InvalidVectors),
        ("too_few", InvalidVectors),
        ("duplicate_index", InvalidVectors),
    ],
)
def test_each_misbehaviour_is_named_for_what_it_is(
    make: Make, provider: StubProvider, kind: str, expected: type[ReembedError]
) -> None:
    embedders = make()
    provider.misbehave(kind, times=1)

    error = failure(embedders)

    assert expected is type(error)
    assert 1 == provider.stats()["requests"], "retrying is not the adapter's business"
    assert (10, 8) == embedders.get(SMALL).embed(TEXTS).vectors.shape, "the next call works"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (402, ProviderQuotaExhausted),
        (408, ProviderTooSlow),
        (409, ProviderUnavailable),
        (413, TextTooLong),
        (422, TextRefused),
        (405, TextRefused),
        (424, ProviderUnavailable),
        (502, ProviderUnavailable),
        (503, ProviderUnavailable),
        (504, ProviderTooSlow),
        (529, ProviderUnavailable),
    ],
)
def test_other_statuses_are_sorted_by_what_helps(
    make: Make, provider: StubProvider, status: int, expected: type[ReembedError]
) -> None:
    provider.misbehave("server_error", status=status)

    assert expected is type(failure(make()))


def test_a_provider_that_hangs_is_given_up_after_the_timeout(
    make: Make, provider: StubProvider
) -> None:
    provider.misbehave("hang", seconds=30)
    begun = time.monotonic()

    error = failure(make(timeout=0.3))

    assert ProviderTooSlow is type(error)
    assert time.monotonic() - begun < 5


def test_a_provider_nobody_answers_for_is_unavailable(make: Make, provider: StubProvider) -> None:
    embedders = make()
    provider.stop()

    assert ProviderUnavailable is type(failure(embedders))


def test_a_rate_limit_says_how_long_to_wait(make: Make, provider: StubProvider) -> None:
    provider.misbehave("rate_limited", times=1, retry_after_seconds=1.25)
    provider.misbehave("rate_limited", times=1)
    embedders = make()

    waits = [failure(embedders).retry_after_seconds for _ in range(2)]  # type: ignore[attr-defined]  # of TransientError

    assert [1.25, None] == waits


def test_an_overloaded_server_says_how_long_to_wait(make: Make, provider: StubProvider) -> None:
    provider.misbehave("server_error", status=503, retry_after_seconds=2)

    error = failure(make())

    assert isinstance(error, ProviderUnavailable)
    assert 2 == error.retry_after_seconds


def test_only_the_marked_text_is_refused(make: Make, provider: StubProvider) -> None:
    provider.misbehave("refuse_text", containing="poison")
    embedder = make().get(SMALL)

    with pytest.raises(TextRefused):
        embedder.embed([*TEXTS, "some poison here"])

    assert (10, 8) == embedder.embed(TEXTS).vectors.shape


def test_half_a_surrogate_pair_is_refused_before_it_is_sent(
    make: Make, provider: StubProvider
) -> None:
    with pytest.raises(TextRefused):
        make().get(SMALL).embed(["broken \ud800"])

    assert 0 == provider.stats()["requests"]


def test_a_model_with_another_dimension_than_configured_is_a_mismatch(make: Make) -> None:
    error = failure(make(), SMALL.model_copy(update={"dimension": 9}))

    assert DimensionMismatch is type(error)
    assert {"expected": 9, "actual": 8} == error.details


def test_limits_are_told_with_answers_and_with_refusals(make: Make, provider: StubProvider) -> None:
    told: list[tuple[str, Mapping[str, str]]] = []
    embedders = make(on_headers=lambda name, headers: told.append((name, headers)))
    provider.limit(requests_per_minute=1)

    embedders.get(SMALL).embed(TEXTS)
    error = failure(embedders)

    assert ["stub", "stub"] == [name for name, _ in told]
    assert "1" == told[0][1]["x-ratelimit-limit-requests"]
    assert "0" == told[0][1]["x-ratelimit-remaining-requests"]
    assert isinstance(error, ProviderRateLimited)
    assert error.retry_after_seconds == pytest.approx(60, abs=5)
    assert "content-type" not in told[0][1]


# --- keys ---------------------------------------------------------------------


def test_a_missing_key_is_named_by_its_variable(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUB_KEY")
    embedders = make()

    with pytest.raises(ProviderKeyMissing, match="STUB_KEY"):
        embedders.get(SMALL)
    assert embedders.providers()["stub"] is False
    assert embedders.providers()["openai"] is True


def test_a_provider_without_a_key_variable_needs_none(provider: StubProvider) -> None:
    settings = Settings(
        _env_file=None,
        database_url="postgresql+psycopg2://unused",
        redis_url="redis://unused",
        milvus_uri="http://unused",
        providers={"stub": ProviderSettings(base_url=provider.base_url, api_key_env="")},
    )
    embedders = ConfiguredEmbedders(settings)

    assert embedders.providers()["stub"] is True
    assert (10, 8) == embedders.get(SMALL).embed(TEXTS).vectors.shape
    embedders.close()


def test_a_key_from_a_file_loses_its_line_ending(
    make: Make, provider: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.accepted_key = KEY
    monkeypatch.setenv("STUB_KEY", KEY + "\n")

    assert (10, 8) == make().get(SMALL).embed(TEXTS).vectors.shape


@pytest.mark.parametrize("broken", ["stub-secret\nsecond line", "stub-secret-ключ"])
def test_a_key_no_header_can_hold_is_refused_without_being_shown(
    make: Make, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setenv("STUB_KEY", broken)

    error = failure(make())

    assert InvalidConfiguration is type(error)
    assert "STUB_KEY" in error.message
    assert "stub-secret" not in everything_written_about(error)


@pytest.mark.parametrize(
    "kind", ["unauthorized", "server_error", "rate_limited", "refuse_text", "reset", "nan"]
)
def test_no_failure_shows_the_key(
    make: Make, provider: StubProvider, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level("DEBUG")
    embedders = make()
    provider.misbehave(kind)

    error = failure(embedders)

    written = everything_written_about(error) + caplog.text
    assert "stub" in written
    assert KEY not in written
    assert KEY not in f"{embedders!r} {embedders.get(SMALL)!r} {vars(embedders)!r}"


def test_the_vendors_error_is_kept_as_the_cause(make: Make, provider: StubProvider) -> None:
    provider.misbehave("unauthorized")

    cause = failure(make()).__cause__

    assert "AuthenticationError" == type(cause).__name__
    assert "Incorrect API key provided: [key]" in str(cause)


def test_an_openai_account_is_named_to_openai_alone(
    make: Make, provider: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    embedders = make()

    embedders.get(LARGE).embed(TEXTS)
    to_openai = provider.last_headers
    embedders.get(SMALL).embed(TEXTS)
    to_stub = provider.last_headers

    assert "org-1" == to_openai.get("openai-organization")
    assert {"openai-organization", "openai-project"}.isdisjoint(to_stub)


def test_a_provider_named_local_is_refused(provider: StubProvider) -> None:
    named = ProviderSettings(base_url=provider.base_url, api_key_env="STUB_KEY")
    settings = Settings(
        _env_file=None,
        database_url="postgresql+psycopg2://unused",
        redis_url="redis://unused",
        milvus_uri="http://unused",
        providers={"local": named},
    )

    with pytest.raises(InvalidConfiguration, match="built in"):
        ConfiguredEmbedders(settings)


# --- what the tests look through ----------------------------------------------


def requests_seen(provider: StubProvider) -> list[dict[str, Any]]:
    """The JSON of every embeddings request from now on."""
    provider.requests_seen = []
    return provider.requests_seen


def everything_written_about(error: BaseException) -> str:
    """What a log or a tracker that follows causes and attributes could write down."""
    import traceback

    parts = ["".join(traceback.format_exception(error))]
    one: BaseException | None = error
    while one is not None:
        parts += [str(one), repr(one), repr(vars(one))]
        request = getattr(one, "request", None)
        parts.append(repr(list(request.headers.items())) if request is not None else "")
        one = one.__cause__ or one.__context__
    return "\n".join(parts)


def in_child(work: Callable[[], object]) -> int:
    """The exit code of a forked child that does the work: 0 when it returned."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
