"""What a provider's response headers say about its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DURATION = re.compile(
    r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_UNIT_SECONDS = (86_400.0, 3600.0, 60.0, 1.0, 0.001)


def rate_limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers a limiter learns from, names in lower case."""
    lowered = ((name.lower(), value) for name, value in headers.items())
    return {
        name: value for name, value in lowered if name.startswith(("x-ratelimit-", "retry-after"))
    }


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks us to wait; None when it does not say.

    ``retry-after-ms`` and ``Retry-After`` (seconds or a date) are requests to
    wait and win. Else ``x-ratelimit-reset-*``, of the limits that have nothing
    remaining when the provider says which those are.
    """
    found = rate_limit_headers(headers)
    if (milliseconds := _number(found.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if (asked := _seconds_or_date(found.get("retry-after"))) is not None:
        return asked
    return _until_reset(found)


def _until_reset(found: Mapping[str, str]) -> float | None:
    resets = {
        name.removeprefix("x-ratelimit-reset-"): seconds
        for name, value in found.items()
        if name.startswith("x-ratelimit-reset-")
        and (seconds := duration_seconds(value)) is not None
    }
    exhausted = [
        seconds
        for limit, seconds in resets.items()
        if _number(found.get(f"x-ratelimit-remaining-{limit}")) == 0
    ]
    return max(exhausted or resets.values(), default=None)


def duration_seconds(value: str) -> float | None:
    """Seconds of a duration as OpenAI writes it (``6m0s``, ``20ms``) or of a bare number."""
    text = value.strip()
    if (seconds := _number(text)) is not None:
        return seconds
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    return sum(
        float(part) * unit for part, unit in zip(match.groups(), _UNIT_SECONDS, strict=True) if part
    )


def _seconds_or_date(value: str | None) -> float | None:
    if value is None or (seconds := _number(value)) is not None:
        return seconds if value is not None else None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _number(value: str | None) -> float | None:
    """A finite number that is not negative: some gateways send -1 for "not known"."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
