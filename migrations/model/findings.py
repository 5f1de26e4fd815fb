"""What was found to be wrong, for whoever is to put it right."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much it matters now."""

    #: Something stands still or fails because of it.
    ERROR = "error"
    #: Nothing fails yet.
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """``message`` says what is wrong, ``remedy`` what to do about it, each in a sentence or two."""

    code: str
    message: str
    remedy: str
    severity: Severity = Severity.ERROR


def roughly(seconds: float) -> str:
    """How long something lasts, so that who looks every second is not told a new sentence."""
    if seconds < 60:
        return f"{int(seconds // 10) * 10} s"
    return f"{int(seconds // 60)} min"


def warning(code: str, message: str, remedy: str) -> Finding:
    return Finding(code, message, remedy, Severity.WARNING)
