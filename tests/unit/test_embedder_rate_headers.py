from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from migrations.adapters.providers.rate_headers import (
    duration_seconds,
    rate_limit_headers,
    retry_after_seconds,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1s", 1),
        ("20ms", 0.02),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("1d", 86_400),
        ("8.64s", 8.64),
        ("17", 17),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("nan", None),
    ],
)
def test_a_duration_is_read_in_any_form_providers_write(value: str, seconds: float | None) -> None:
    assert seconds == duration_seconds(value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "2", "x-ratelimit-reset-requests": "60s"}, 2),
        ({"retry-after": "-1", "x-ratelimit-reset-requests": "60s"}, 60),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "1000",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            1,
        ),
        ({"retry-after": "Sun, 01 Nov 1998 00:00:00 GMT"}, 0),
        ({"retry-after": "when it rains"}, None),
    ],
)
def test_the_wait_is_what_the_provider_asks_for(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert seconds == retry_after_seconds(headers)


def test_a_date_to_retry_at_becomes_the_seconds_until_then() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    assert retry_after_seconds({"Retry-After": at}) == pytest.approx(90, abs=3)


def test_only_headers_about_limits_are_passed_on() -> None:
    headers = {"X-RateLimit-Limit-Requests": "5", "Retry-After": "1", "Set-Cookie": "secret"}

    assert {"x-ratelimit-limit-requests": "5", "retry-after": "1"} == rate_limit_headers(headers)
