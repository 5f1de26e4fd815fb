"""What headers are taken to say about a limit per minute."""

from __future__ import annotations

import pytest

from migrations.adapters.limiter.headers import Announced, announced


def test_limits_and_what_remains_are_read_for_requests_and_tokens() -> None:
    headers = {
        "X-RateLimit-Limit-Requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "1000000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m0s",
    }
    assert {
        "requests": Announced(500.0, 499.0),
        "tokens": Announced(1_000_000.0, 0.0),
    } == announced(headers)


def test_a_limit_that_is_whole_again_only_in_hours_is_none_per_minute() -> None:
    headers = {"x-ratelimit-limit-requests": "14400", "x-ratelimit-reset-requests": "2h59m56s"}
    assert {"requests": Announced(0.0, None)} == announced(headers)


@pytest.mark.parametrize(
    ("value", "limit"), [("100;w=60", 100.0), (" 12.5", 12.5), ("0", None), ("-1", None)]
)
def test_a_limit_is_the_number_its_header_begins_with(value: str, limit: float | None) -> None:
    told = announced({"x-ratelimit-limit-requests": value}).get("requests")
    assert limit == (told and told.per_minute)


def test_headers_without_limits_say_nothing() -> None:
    assert {} == announced({"content-type": "application/json", "retry-after": "3"})
