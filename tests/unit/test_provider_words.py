"""A provider's words: found in whatever form, shown short and clean, deciding nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from migrations.adapters.providers.error_bodies import LONGEST_QUOTE, quote, read
from migrations.adapters.providers.vendor_errors import refusal
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    InvalidConfiguration,
    ProviderAuthenticationFailed,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderTooSlow,
    ProviderUnavailable,
    ReembedError,
    TextRefused,
    TextTooLong,
    UnknownModel,
)

REF = EmbeddingRef(provider="stub", model="small", dimension=8)
KEY = "stub-secret-0123456789"
TEXT = "Dear Anna Müller,\n\tthe model “x” was not found; dimensions and key: 12 Main Street."
SPEAKS_OF_LENGTH = "This letter has become longer than 8192 tokens; its length is too large."

WORDS = "The pump is broken."
SHAPES: dict[str, Any] = {
    "openai": {"error": {"message": WORDS, "type": "t", "param": None, "code": "c"}},
    "error is text": {"error": WORDS},
    "error and its kind": {"error": WORDS, "error_type": "overloaded"},
    "message": {"message": WORDS},
    "message in capitals": {"Message": WORDS},
    "detail": {"detail": WORDS},
    "detail is a list": {"detail": [{"loc": ["body", "input"], "msg": WORDS, "input": TEXT}]},
    "detail is an object": {"detail": {"code": 7, "message": WORDS}},
    "errors": {"success": False, "errors": [{"code": 1000, "message": WORDS}]},
    "errors are texts": {"errors": [WORDS]},
    "a list": [{"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}}],
    "a list of texts": [WORDS],
    "a text": WORDS,
    "object error": {"object": "error", "message": WORDS, "type": "BadRequest", "code": 400},
    "msg": {"code": 1301, "msg": WORDS},
    "error_msg": {"error_code": 17, "error_msg": WORDS},
    "base_resp": {"base_resp": {"status_code": 1004, "status_msg": WORDS}},
    "fault": {"fault": {"faultstring": WORDS, "detail": {"errorcode": "x"}}},
    "problem": {"type": "about:blank", "title": WORDS, "status": 400},
    "names of its own": {"outcome": {"explanation": [WORDS]}},
}
PAGES = {
    "a page": f"<!DOCTYPE html><html><head><title>{WORDS}</title></head><body>nginx</body></html>",
    "a page without title": f"<html><style>p{{}}</style><body><p>{WORDS}</p></body></html>",
    "plain text": WORDS,
    "xml": f"<?xml version='1.0'?><Error><Message>{WORDS}</Message></Error>",
}
BODIES = {name: json.dumps(shape) for name, shape in SHAPES.items()} | PAGES
each_body = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)


def error_of(status: int, body: str, texts: tuple[str, ...] = (TEXT,)) -> ReembedError:
    return refusal(status, body.encode(), REF, KEY, texts)


@pytest.mark.parametrize(
    "status", [200, 400, 401, 402, 403, 404, 413, 422, 424, 429, 500, 502, 504]
)
@each_body
def test_the_words_are_quoted_whatever_the_body_and_the_status(status: int, body: str) -> None:
    message = error_of(status, body).message
    assert message.endswith(f": {WORDS}")
    assert "Anna" not in message


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", "null", "12", '{"error": null}', '{"detail": []}']
)
def test_a_body_that_says_nothing_is_no_quote(body: str) -> None:
    assert "stub answered with status 500." == error_of(500, body).message


def test_a_body_without_end_is_no_trouble() -> None:
    deep = '{"a":[' * 500 + "1" + "]}" * 500
    assert "stub answered with status 500." == error_of(500, deep).message
    assert len(error_of(500, "x " * 1_000_000).message) < 2 * LONGEST_QUOTE


# --- what is not quoted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        f"Bad input: {TEXT}",
        f"Bad input: {TEXT[:40]}…",
        f"Bad input: {TEXT[20:60]}",
        f"Bad input: {TEXT!r}",
        f"Bad input: {json.dumps(TEXT)}",
        f"Bad input: {' '.join(TEXT.split())}",
    ],
)
def test_no_piece_of_a_text_is_quoted(said: str) -> None:
    quoted = quote(read(json.dumps({"error": {"message": said}}).encode()).words, [TEXT], KEY)
    assert quoted.startswith("Bad input: ")
    assert "[text]" in quoted
    assert not [at for at in range(len(TEXT) - 14) if TEXT[at : at + 14] in quoted]


@pytest.mark.parametrize(
    ("text", "said", "quoted"),
    [
        ("Anna B.", "No Anna B., please", "No [text], please"),
        ("in", "Invalid 'in' in input", "Invalid '[text]' in input"),
        ("", "Empty input", "Empty input"),
    ],
)
def test_a_short_text_is_not_quoted_and_words_that_hold_it_are(
    text: str, said: str, quoted: str
) -> None:
    assert quoted == quote(said, [text], KEY)


def test_neither_the_key_nor_a_piece_of_it_nor_control_characters_are_quoted() -> None:
    said = f"Key {KEY} or \x1b[31m{KEY[:-4]}****\r\nX-Evil: 1\u202e"
    quoted = quote(said, [], KEY)
    assert "stub-secret" not in quoted
    assert quoted.isprintable()


def test_looking_for_pieces_of_many_long_texts_takes_no_time() -> None:
    texts = [f"{number} " + "word other " * 400 for number in range(500)]
    begun = time.process_time()
    quote("some words of an error " * 40, texts, KEY)
    assert time.process_time() - begun < 2


# --- what it means -----------------------------------------------------------------------------


def body(message: str = "no", **fields: Any) -> str:
    return json.dumps({"error": {"message": message, **fields}})


@pytest.mark.parametrize(
    ("status", "said", "meant"),
    [
        (400, body(TEXT), TextRefused),
        (400, body("The model `x` does not exist"), TextRefused),
        (400, body("dimensions are not supported"), TextRefused),
        (400, body("This model's maximum context length is 8192 tokens"), TextTooLong),
        (400, body(code="context_length_exceeded"), TextTooLong),
        (413, '{"error": "Input validation error", "error_type": "Validation"}', TextTooLong),
        (422, '{"detail": "The input is too long."}', TextTooLong),
        (400, body(f"Refused: {SPEAKS_OF_LENGTH}"), TextRefused),
        (400, body(param="dimensions"), InvalidConfiguration),
        (400, body(code="model_not_found"), UnknownModel),
        (400, body(param="model"), UnknownModel),
        (400, body(code="Arrearage"), ProviderQuotaExhausted),
        (403, body(code="insufficient_balance"), ProviderQuotaExhausted),
        (400, body(code="invalid_api_key"), ProviderAuthenticationFailed),
        (200, body(code=402), ProviderQuotaExhausted),
        (200, body(code="429"), ProviderRateLimited),
        (200, body(), ProviderUnavailable),
        (200, "<html>", ProviderUnavailable),
        (405, "", TextRefused),
        (424, "", ProviderUnavailable),
        (524, "", ProviderTooSlow),
    ],
)
def test_a_refusal_means_what_its_status_code_and_parameter_say(
    status: int, said: str, meant: type[ReembedError]
) -> None:
    assert meant is type(error_of(status, said, (TEXT, SPEAKS_OF_LENGTH)))
