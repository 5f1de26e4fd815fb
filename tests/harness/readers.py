"""Readers who ask a bot while it is being moved, and check every answer they get."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from pymilvus import MilvusClient

from migrations.model.config import EmbeddingRef
from tests.harness.rows import TIMEOUT_SECONDS, connect, embedded


class BotReader:
    """Asks for known chunks by their own text; a context manager with a thread.

    ``pair`` says where to search and which model embeds the question. The chunk
    asked for must be the first answer: a collection searched with another
    model's vector answers with another chunk, or refuses the dimension.
    """

    def __init__(
        self,
        milvus_uri: str,
        pair: Callable[[], tuple[str, EmbeddingRef]],
        texts: Mapping[str, str],
        *,
        pause_seconds: float = 0.1,
    ) -> None:
        self.answered = 0
        #: Each a sentence: no answer, or the wrong one.
        self.failures: list[str] = []
        self._uri = milvus_uri
        self._pair = pair
        self._texts = list(texts.items())
        self._pause = pause_seconds
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
        self._stopped.set()
        self._thread.join(2 * TIMEOUT_SECONDS)

    def assert_answered(self, times: int = 1) -> None:
        """Every question got its answer, and at least so many were asked in the end."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.answered + len(self.failures) < times and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not self.failures, self.failures[:3]
        assert self.answered >= times

    def _run(self) -> None:
        milvus = connect(self._uri)
        try:
            while not self._stopped.wait(self._pause):
                self._ask(milvus)
        finally:
            milvus.close()

    def _ask(self, milvus: MilvusClient) -> None:
        key, text = self._texts[(7 * self.answered) % len(self._texts)]
        try:
            collection, ref = self._pair()
            found = first_answer(milvus, collection, ref, text)
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")
        else:
            if found == key:
                self.answered += 1
            else:
                self.failures.append(f"asked for {key} in {collection}, answered {found}")


def first_answer(milvus: MilvusClient, collection: str, ref: EmbeddingRef, text: str) -> str | None:
    """The key of the chunk nearest to the text; None when nothing is found."""
    hits = milvus.search(
        collection, data=[embedded(ref, [text])[0]], limit=1, timeout=TIMEOUT_SECONDS
    )[0]
    return str(hits[0]["id"]) if hits else None
