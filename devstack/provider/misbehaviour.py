"""How the stub provider can go wrong, and when."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

#: Refusals: kind → (status, error code, message).
REFUSALS: dict[str, tuple[int, str, str]] = {
    "rate_limited": (429, "rate_limit_exceeded", "Rate limit reached for requests."),
    "insufficient_quota": (429, "insufficient_quota", "You exceeded your current quota."),
    "server_error": (500, "server_error", "The server had an error."),
    "unauthorized": (401, "invalid_api_key", "Incorrect API key provided: {key}."),
    "forbidden": (403, "forbidden", "This key may not use embeddings."),
    "refuse_text": (400, "invalid_input", "The input is refused."),
    "too_long": (400, "context_length_exceeded", "This model's maximum context length is 8192."),
    "refuse_dimensions": (400, "unsupported_value", "This model takes no 'dimensions'."),
    "model_gone": (404, "model_not_found", "The model does not exist."),
}

#: Answers that arrive, and are wrong.
WRONG_ANSWERS: dict[str, str] = {
    "wrong_dimension": "vectors of one dimension more",
    "nan": "the first vector holds NaN",
    "infinite": "the first vector holds infinity",
    "zeros": "the first vector is zero",
    "too_few": "the last vector is missing",
    "reordered": "items in reverse order, each with its right index",
    "swapped": "the vectors of the first and last text exchanged, undetectably",
    "duplicate_index": "two items with the same index",
    "floats": "lists of floats although base64 was asked for",
    "no_usage": "no usage in the answer",
    "not_json": "a page of HTML with status 200",
    "drifted": "vectors of another version of the model",
}

#: Trouble with the connection. ``billed``: the texts count as embedded first.
TROUBLES: dict[str, str] = {
    "hang": "waits ``seconds`` before answering rightly",
    "reset": "the connection is reset without an answer",
    "cut_off": "half an answer, then the connection is closed",
}

KINDS = frozenset(REFUSALS) | frozenset(WRONG_ANSWERS) | frozenset(TROUBLES)


@dataclass(frozen=True)
class Fault:
    """One way to go wrong, until it has happened ``times`` times or is cleared.

    ``containing`` limits it to requests with a text that holds this string.
    ``status`` replaces a refusal's own. ``retry_after_seconds`` is announced
    with a refusal; None announces nothing.
    """

    kind: str
    times: int | None = None
    containing: str | None = None
    status: int | None = None
    retry_after_seconds: float | None = None
    seconds: float = 0.0
    billed: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(sorted(KINDS))}")

    def concerns(self, texts: Sequence[str]) -> bool:
        return self.containing is None or any(self.containing in text for text in texts)


@dataclass
class Faults:
    """The faults in force, first come, first served; safe to use from many threads."""

    _active: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._active.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._active.clear()

    def take(self, texts: Sequence[str]) -> Fault | None:
        """The fault this request meets, counted as one of its times."""
        with self._lock:
            for position, fault in enumerate(self._active):
                if fault.concerns(texts):
                    self._use_up(position, fault)
                    return fault
        return None

    def _use_up(self, position: int, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times <= 1:
            del self._active[position]
        else:
            self._active[position] = replace(fault, times=fault.times - 1)


def fault_from(wish: dict[str, Any]) -> Fault:
    """A fault from the JSON of ``POST /_control``."""
    return Fault(**wish)
