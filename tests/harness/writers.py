"""Writers who know nothing of us: they write straight to Milvus and remember what came of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self

from pymilvus import MilvusClient

from migrations.model.config import EmbeddingRef
from tests.harness.rows import TIMEOUT_SECONDS, connect, rows_of


class Outcome(StrEnum):
    #: Sent, and nothing heard yet.
    INVOKED = "invoked"
    #: Acknowledged: it must be there for ever.
    OK = "ok"
    #: Refused by the server: it must not be there.
    FAIL = "fail"
    #: No answer: it may have been done or not.
    UNKNOWN = "unknown"


@dataclass
class Operation:
    """One write; ``text`` is None for a delete."""

    key: str
    text: str | None
    outcome: Outcome = Outcome.INVOKED
    error: str = ""


@dataclass
class History:
    """What a collection held at first and every write since, of all its writers.

    Each key is written by one writer at a time, or the order would be anybody's guess.
    """

    initial: dict[str, str]
    operations: list[Operation] = field(default_factory=list)

    def possible(self) -> dict[str, set[str | None]]:
        """By key, the texts it may have now; None stands for its absence."""
        states: dict[str, set[str | None]] = {key: {text} for key, text in self.initial.items()}
        for operation in list(self.operations):
            before = states.get(operation.key, {None})
            match operation.outcome:
                case Outcome.OK:
                    states[operation.key] = {operation.text}
                case Outcome.FAIL:
                    states[operation.key] = before
                case _:
                    states[operation.key] = before | {operation.text}
        return states

    def certain(self) -> dict[str, str]:
        """Texts by key, where every write has been answered."""
        possible = self.possible()
        assert all(len(texts) == 1 for texts in possible.values()), "some writes had no answer"
        return {k: text for k, texts in possible.items() for text in texts if text is not None}

    def acknowledged(self) -> int:
        return sum(operation.outcome is Outcome.OK for operation in self.operations)


#: Where a writer writes and which model it embeds with, asked before every write.
Address = Callable[[], tuple[str, EmbeddingRef]]


def always(collection: str, ref: EmbeddingRef) -> Address:
    """An application that was never told of any migration."""
    return lambda: (collection, ref)


class ForeignWriter:
    """Inserts, changes and deletes chunks in a thread; a context manager.

    Seeded: the same seed makes the same operations. ``share`` are the weights of
    inserting, changing and deleting; ``spared`` keys are left as they are.
    """

    def __init__(
        self,
        milvus_uri: str,
        address: Address,
        history: History,
        *,
        seed: int = 0,
        per_second: float = 20.0,
        share: tuple[float, float, float] = (0.4, 0.4, 0.2),
        spared: Collection[str] = (),
    ) -> None:
        self.history = history
        self._uri = milvus_uri
        self._address = address
        self._random = random.Random(seed)
        self._prefix = f"w{seed}"
        self._pause = 1 / per_second
        self._share = share
        self._mine = sorted(history.initial.keys() - set(spared))
        self._made = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Return when the last write has been answered."""
        self._stopped.set()
        self._thread.join(2 * TIMEOUT_SECONDS)

    def _run(self) -> None:
        milvus = connect(self._uri)
        try:
            while not self._stopped.wait(self._pause):
                self.perform(milvus, self._next())
        finally:
            milvus.close()

    def _next(self) -> Operation:
        self._made += 1
        kind = self._random.choices(("insert", "change", "delete"), self._share)[0]
        if kind == "insert" or not self._mine:
            key = f"{self._prefix}-{self._made:06}"
            self._mine.append(key)
            return Operation(key, f"new text {self._made} of {self._prefix}")
        place = self._random.randrange(len(self._mine))
        if kind == "change":
            return Operation(self._mine[place], f"changed {self._made} by {self._prefix}")
        return Operation(self._mine.pop(place), None)

    def perform(self, milvus: MilvusClient, operation: Operation) -> None:
        """Do it and remember the answer."""
        self.history.operations.append(operation)
        collection, ref = self._address()
        try:
            write(milvus, collection, ref, {operation.key: operation.text})
        except Exception as error:
            operation.error = f"{type(error).__name__}: {error}"
            refused = "dim" in operation.error.lower()
            operation.outcome = Outcome.FAIL if refused else Outcome.UNKNOWN
        else:
            operation.outcome = Outcome.OK


def write(
    milvus: MilvusClient, collection: str, ref: EmbeddingRef, texts: Mapping[str, str | None]
) -> None:
    """Upsert chunks as an application does, and delete those whose text is None."""
    kept = {key: text for key, text in texts.items() if text is not None}
    if kept:
        milvus.upsert(collection, rows_of(ref, kept), timeout=TIMEOUT_SECONDS)
    gone = [key for key, text in texts.items() if text is None]
    if gone:
        milvus.delete(collection, ids=gone, timeout=TIMEOUT_SECONDS)
