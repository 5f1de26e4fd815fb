"""Counts what is wrong in a bot's live collection, without asking any of our own code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from pymilvus import MilvusClient

from migrations.model.config import EmbeddingRef
from tests.harness import rows
from tests.harness.writers import History


@dataclass(frozen=True)
class Census:
    missing: int
    #: Rows too many: a key that stands twice, or one that nobody wrote.
    duplicated: int
    #: Rows whose vector is not the live model's of the row's own text, or whose text is old.
    wrong_model: int

    @property
    def clean(self) -> bool:
        return not (self.missing or self.duplicated or self.wrong_model)


def census(milvus: MilvusClient, collection: str, ref: EmbeddingRef, history: History) -> Census:
    """What the live collection holds against what was written."""
    possible = history.possible()
    found = rows.read_all(milvus, collection, list(possible))
    times = Counter(row.key for row in found)
    missing = [key for key, states in possible.items() if None not in states and key not in times]
    unwritten = [key for key in times if set(possible.get(key, {None})) == {None}]
    doubled = rows.count(milvus, collection) - len(times)
    return Census(len(missing), doubled + len(unwritten), _wrong(found, ref, possible))


def _wrong(found: list[rows.Row], ref: EmbeddingRef, possible: dict[str, set[str | None]]) -> int:
    if not found:
        return 0
    expected = rows.embedded(ref, [row.text for row in found])
    return sum(
        row.vector.shape != vector.shape
        or not np.allclose(row.vector, vector, rtol=0, atol=1e-6)
        or row.text not in possible.get(row.key, {None})
        for row, vector in zip(found, expected, strict=True)
    )
