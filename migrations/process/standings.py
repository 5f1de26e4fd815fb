"""How each model has answered this process lately: what tells bad texts from a bad time.

All threads share it, so that what one of them has met with spares the others the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from migrations.model.config import EmbeddingRef
from migrations.model.errors import ReembedError
from migrations.process.call_slots import CallSlots

#: Refusals in a row after which it is asked whether the model refuses everything; two are what
#: one bad text among good ones often comes to.
_DOUBTFUL = 3
REMEMBERED_MODELS = 256
#: Requests grow when twice as many texts would take at most half of the patience.
_ROOM_TO_GROW = 4


@dataclass
class Standing:
    """Of one model."""

    #: Answers that held vectors.
    answers: int = 0
    #: Most texts that it is asked for at once; None as long as no request took too long.
    most_texts: int | None = None
    #: Tokens of the longest input that it is sent where texts may be shortened; None as long as
    #: it has not refused a shorter one than it is known to take.
    longest_input: int | None = None
    _refused: int = 0
    _probes: int = 0
    _found: ReembedError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _probing: CallSlots = field(default_factory=lambda: CallSlots(1))

    def answered(self, texts: int, seconds: float, patience_seconds: float) -> None:
        """``texts`` have their vectors after as many seconds of at most ``patience_seconds``."""
        with self._lock:
            self.answers += 1
            self._refused = 0
            full = self.most_texts is not None and texts >= self.most_texts
            if full and seconds * _ROOM_TO_GROW <= patience_seconds:
                self.most_texts = 2 * texts

    def took_too_long(self, texts: int) -> None:
        """From now on fewer are asked for at once."""
        with self._lock:
            self.most_texts = max(1, min(self.most_texts or texts, texts // 2))

    def takes_at_most(self, tokens: int) -> None:
        """From now on texts that may be shortened are not longer than so many tokens."""
        with self._lock:
            self.longest_input = min(self.longest_input or tokens, tokens)

    def refuses(self) -> bool:
        """Count a refusal; whether so many in a row make one doubt that they are about texts."""
        with self._lock:
            self._refused += 1
            return self._refused >= _DOUBTFUL

    def probe(
        self, ask: Callable[[], ReembedError | None], must_go_on: Callable[[], None]
    ) -> ReembedError | None:
        """What ``ask`` comes to; one asks, and whoever has waited for that takes its answer.

        Raises what ``must_go_on`` or ``ask`` raises.
        """
        before = self._probes
        with self._probing.one("", must_go_on):
            if self._probes == before:
                self._found = ask()
                self._probes += 1
            return self._found


class Standings:
    """Of one process, by model."""

    def __init__(self) -> None:
        self._of: OrderedDict[EmbeddingRef, Standing] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, ref: EmbeddingRef) -> Standing:
        with self._lock:
            standing = self._of.setdefault(ref, Standing())
            self._of.move_to_end(ref)
            while len(self._of) > REMEMBERED_MODELS:  # names are callers' to invent
                self._of.popitem(last=False)
            return standing
