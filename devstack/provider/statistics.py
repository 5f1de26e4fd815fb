"""What the stub provider has been asked and has answered."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any


class Statistics:
    """Counters, readable at any time; a text counts as embedded once its answer is made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._counts: Counter[str] = Counter()
            self._statuses: Counter[int] = Counter()
            self._times_embedded: Counter[bytes] = Counter()
            self._roles: dict[str, dict[str, Counter[str]]] = {}

    def asked(self) -> None:
        with self._lock:
            self._counts["requests"] += 1

    def answered(self, status: int) -> None:
        with self._lock:
            self._statuses[status] += 1

    def embedded(
        self, model: str, texts: Sequence[str], tokens: int, is_of_use: bool = True
    ) -> None:
        keys = [_key(model, text) for text in texts]
        with self._lock:
            self._counts["answers"] += is_of_use
            self._counts["texts"] += len(texts)
            self._counts["tokens"] += tokens
            self._times_embedded.update(keys)

    def in_roles(self, model: str, roles: Sequence[str]) -> None:
        """In which role each text of a request came. Who asks a question sends it alone."""
        if not roles:
            return
        company = "alone" if len(roles) == 1 else "together"
        with self._lock:
            of_model = self._roles.setdefault(model, {"alone": Counter(), "together": Counter()})
            of_model[company].update(roles)

    def times_embedded(self, model: str, text: str) -> int:
        with self._lock:
            return self._times_embedded[_key(model, text)]

    def read(self) -> dict[str, Any]:
        """Totals since the last reset.

        ``answers`` are those of use, ``distinct_texts`` are (model, text) pairs,
        ``embedded_again`` those embedded more than once, ``wasted_texts`` how many
        embeddings that were too many. ``roles`` are of models that have any: how many texts
        came in which, alone in their request or together with others.
        """
        with self._lock:
            times = self._times_embedded.values()
            return {
                "requests": self._counts["requests"],
                "answers": self._counts["answers"],
                "texts": self._counts["texts"],
                "tokens": self._counts["tokens"],
                "distinct_texts": len(self._times_embedded),
                "embedded_again": sum(1 for count in times if count > 1),
                "wasted_texts": self._counts["texts"] - len(self._times_embedded),
                "roles": {
                    model: {company: dict(roles) for company, roles in of_model.items()}
                    for model, of_model in self._roles.items()
                },
                "statuses": {str(status): count for status, count in self._statuses.items()},
            }


def _key(model: str, text: str) -> bytes:
    """16 bytes for a pair, so that a million texts cost memory by the pair, not by the text."""
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=16, key=model.encode()[:64]
    ).digest()
