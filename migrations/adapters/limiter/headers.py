"""What response headers teach the limiter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from migrations.adapters.providers.rate_headers import duration_seconds, rate_limit_headers
from migrations.ports.limiter import KINDS, Kind

_LEADING_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)")
#: A limit that takes longer to be whole again counts over hours or days: a minute's
#: is whole after one, or two where a request was let through on credit.
_LONGEST_RESET_SECONDS = 120.0


@dataclass(frozen=True)
class Announced:
    """One kind of limit, per minute, and how much of it was left; None where it was not said.

    0 per minute is a limit that counts over a longer time.
    """

    per_minute: float | None
    remaining: float | None


_OVER_LONGER_TIMES = Announced(0.0, None)


def announced(headers: Mapping[str, str]) -> dict[Kind, Announced]:
    """The limits per minute that these headers tell of.

    A limit whose reset lies far ahead counts over longer times (some providers
    give requests per day in the same header); it says nothing about pace, and is
    met by waiting when it is reached.
    """
    found = rate_limit_headers(headers)
    told: dict[Kind, Announced] = {}
    for kind in KINDS:
        limit = _number(found.get(f"x-ratelimit-limit-{kind}"))
        remaining = _number(found.get(f"x-ratelimit-remaining-{kind}"))
        reset = duration_seconds(found.get(f"x-ratelimit-reset-{kind}", ""))
        if reset is not None and reset > _LONGEST_RESET_SECONDS:
            told[kind] = _OVER_LONGER_TIMES
        elif limit or remaining is not None:
            told[kind] = Announced(limit or None, remaining)
    return told


def _number(value: str | None) -> float | None:
    """The number a header begins with: some write ``100;w=60``."""
    match = _LEADING_NUMBER.match(value or "")
    return float(match.group(1)) if match else None
