"""How the stub provider can go wrong, and when."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

#: Refusals: kind → (status, error code, message).
REFUSALS: dict[str, tuple[int, str, str]] = {
    "rate_limited": (429, "rate_limit_exceeded", "Rate limit reached for requests."),
    "insufficient_quota": (429, "insufficient_quota", "You exceeded your current quota."),
    "server_error": (500, "server_error", "The server had an error."),
    "unauthorized": (401, "invalid_api_key", "Incorrect API key provided: {key}."),
    "forbidden": (403, "forbidden", "This key may not use embeddings."),
    "refuse_text": (400, "invalid_input", "The input is refused."),
    "too_long": (400, "context_length_exceeded", "This model's maximum context length is 8192."),
    "refuse_base64": (422, "", "Input should be 'float'."),
    "refuse_dimensions": (400, "unsupported_value", "This model takes no 'dimensions'."),
    "arrearage": (400, "Arrearage", "Access denied, your account is not in good standing."),
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
    "no_index": "no item says which text it is of",
    "null_index": "the index of every item is null",
    "same_index": "the index of every item is 0",
    "empty_vector": "the first vector has no numbers",
}

#: Those of them with a right vector for each text, if one knows how to read them.
TOLERABLE = frozenset({
    *("reordered", "floats", "no_usage", "no_index", "null_index", "same_index"),
    *("swapped", "drifted"),
})  # fmt: skip

#: Trouble with the connection. ``billed``: the texts count as embedded first.
TROUBLES: dict[str, str] = {
    "hang": "waits ``seconds`` before answering rightly",
    "reset": "the connection is reset without an answer",
    "cut_off": "half an answer, then the connection is closed",
    "says": "answers with ``status`` and ``body``, which may quote the ``{text}`` it is about",
}

KINDS = frozenset(REFUSALS) | frozenset(WRONG_ANSWERS) | frozenset(TROUBLES)


@dataclass(frozen=True)
class Fault:
    """One way to go wrong, until it has happened ``times`` times or is cleared.

    ``containing`` limits it to requests with a text that holds this string; it begins
    when ``after_texts`` more were let through.
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
    body: str = ""
    after_texts: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(sorted(KINDS))}")

    def concerns(self, texts: Sequence[str]) -> bool:
        return any(self._is_about(text) for text in texts)

    def body_about(self, texts: Sequence[str]) -> bytes:
        """The body, as JSON has it where it quotes a text."""
        text = next(text for text in texts if self._is_about(text))
        return self.body.replace("{text}", orjson.dumps(text).decode()[1:-1]).encode()

    def _is_about(self, text: str) -> bool:
        return self.containing is None or self.containing in text


@dataclass
class Faults:
    """The faults in force, first come, first served; safe to use from many threads."""

    _active: list[Fault] = field(default_factory=list)
    _let_through: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        with self._lock:
            begins = self._let_through + fault.after_texts
            self._active.append(replace(fault, after_texts=begins))

    def clear(self) -> None:
        with self._lock:
            self._active.clear()

    def take(self, texts: Sequence[str]) -> Fault | None:
        """The fault this request meets, counted as one of its times."""
        with self._lock:
            for position, fault in enumerate(self._active):
                if fault.after_texts <= self._let_through and fault.concerns(texts):
                    self._use_up(position, fault)
                    return fault
            self._let_through += len(texts)
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
