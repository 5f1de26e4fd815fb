"""Values as words: what is shown of texts, times, durations and figures."""

from __future__ import annotations

import json
from typing import Any

_MINUTE, _HOUR = 60, 3600


def plain(text: str) -> str:
    """Without letters that would move the cursor or colour the terminal; lines stay lines."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def told(value: Any) -> str:
    """A value of an answer."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, int):
        return str(value)
    return plain(json.dumps(value, ensure_ascii=False))


def when(moment: str | None) -> str:
    """A time as the API writes it, without fractions of a second."""
    if moment is None:
        return "-"
    day, _, rest = moment.partition("T")
    return plain(f"{day} {rest[:8]} UTC") if rest else plain(day)


def lasting(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def finding(found: dict[str, Any]) -> str:
    """What is wrong and what to do about it."""
    return plain(f"{found['message']} {found['remedy']} ({found['code']})")


def embedding(ref: dict[str, Any]) -> str:
    return plain(f"{ref['provider']}/{ref['model']} ({ref['dimension']} dimensions)")
