"""Remembers when the stub provider was asked for which text."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any


class Asked(list[Any]):
    """Give it to ``StubProvider.requests_seen``: every request with its time (epoch seconds)."""

    def append(self, request: Mapping[str, Any]) -> None:
        texts = request["input"]
        one = [texts] if isinstance(texts, str) else texts
        super().append((time.time(), request["model"], one))

    def more_than_once(
        self, model: str, texts: Collection[str], since: float, until: float
    ) -> dict[str, int]:
        """How often each of these texts was asked for, where that was more than once."""
        wanted, times = set(texts), Counter[str]()
        for at, asked_model, asked in list(self):
            if asked_model == model and since <= at < until:
                times.update(text for text in asked if text in wanted)
        return {text: count for text, count in times.items() if count > 1}

    def last(self, since: float) -> float | None:
        """When the last request since then came; None when none did."""
        times = [at for at, _, _ in list(self) if at >= since]
        return max(times, default=None)
