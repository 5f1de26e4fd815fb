from __future__ import annotations

import pytest

from migrations.adapters.providers.keys import NO_KEY, redact, scrub


class VendorError(Exception):
    def __init__(self, message: str, body: object) -> None:
        super().__init__(message)
        self.message = message
        self.body = body


def test_a_key_is_taken_out_of_an_error_and_of_its_causes() -> None:
    inner = ValueError("Illegal header value b'Bearer secret-key'")
    error = VendorError("no: secret-key", {"error": ["secret-key", b"secret-key"]})
    error.__cause__ = inner
    inner.__context__ = error  # a circle, as suppressed contexts can make

    scrub(error, "secret-key")

    assert "secret-key" not in f"{error} {error.message} {error.body} {inner}"
    assert "no: [key]" == str(error)


@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: sk-abcd1234***************wxyz.",
        "Incorrect API key provided: sk-proj-********************9AbC.",
    ],
)
def test_what_looks_like_part_of_a_key_is_taken_out_as_well(said: str) -> None:
    assert "Incorrect API key provided: [key]." == redact(said, "another")


def test_the_word_that_stands_for_no_key_is_left_alone() -> None:
    assert "none of these" == redact("none of these", NO_KEY)
