"""How many writers milvus-lite gets at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from migrations.adapters.milvus.client import LITE_WRITERS, Connection
from migrations.adapters.milvus.writing import upsert
from migrations.model.errors import VectorStoreUnavailable
from tests.unit.test_milvus_rows import SCHEMA, chunk


def connection(monkeypatch: pytest.MonkeyPatch, *, lite: bool, timeout: float = 5.0) -> Connection:
    monkeypatch.setattr(Connection, "is_milvus_lite", lambda _: lite)
    return Connection("http://127.0.0.1:1", "", "", timeout)


@pytest.mark.parametrize("lite", [True, False])
def test_only_milvus_lite_gets_few_writers_at_once(
    monkeypatch: pytest.MonkeyPatch, lite: bool
) -> None:
    writing = connection(monkeypatch, lite=lite)
    at_once = LITE_WRITERS if lite else 2 * LITE_WRITERS
    # Passed by as many as are let in together, and by no fewer.
    together = threading.Barrier(at_once, timeout=5)
    most, inside, lock = 0, 0, threading.Lock()

    def write(_: int) -> None:
        nonlocal most, inside
        with writing.turn_to_write():
            with lock:
                inside += 1
                most = max(most, inside)
            together.wait()
            with lock:
                inside -= 1

    with ThreadPoolExecutor(2 * LITE_WRITERS) as pool:
        list(pool.map(write, range(2 * LITE_WRITERS)))
    assert at_once == most


def test_who_waits_in_vain_is_told_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    writing = connection(monkeypatch, lite=True, timeout=0.01)
    turns = [writing.turn_to_write() for _ in range(LITE_WRITERS)]
    for turn in turns:
        turn.__enter__()
    with pytest.raises(VectorStoreUnavailable, match="writes before this one"):
        writing.turn_to_write().__enter__()
    turns[0].__exit__(None, None, None)
    with writing.turn_to_write():
        pass


@pytest.mark.parametrize("packed", [True, False])
def test_rows_are_sent_in_their_turn_however_they_are_sent(
    monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    writing = connection(monkeypatch, lite=True, timeout=0.01)
    monkeypatch.setattr(writing, "stub", lambda database: object() if packed else None)
    turns = [writing.turn_to_write() for _ in range(LITE_WRITERS)]
    for turn in turns:
        turn.__enter__()
    vectors = np.zeros((1, SCHEMA.dimension), dtype=np.float32)
    with pytest.raises(VectorStoreUnavailable, match="writes before this one"):
        upsert(writing, SCHEMA, [chunk("a")], vectors)
