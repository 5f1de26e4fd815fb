"""Neighbourhoods by stored vectors: a column taken for the text is seen without a provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devstack.provider import vectors_for
from migrations.model.chunks import Embedded
from migrations.model.config import EmbeddingRef
from migrations.model.runs import Migration
from migrations.model.states import Status
from tests.fakes.embedders import FakeEmbedders
from tests.fakes.world import World


class Kin(FakeEmbedders):
    """The model "large" sees what "small" sees, of the words that ``reads`` makes of a text."""

    def __init__(self, reads: Callable[[str], str] = str) -> None:
        super().__init__()
        self._reads = reads

    def answer(self, ref: EmbeddingRef, texts: Sequence[str]) -> Embedded:
        answer = super().answer(ref, texts)
        if ref.model != "large":
            return answer
        turned = np.random.default_rng(1).standard_normal((8, 16)).astype(np.float32)
        seen = vectors_for("small", [self._reads(text) for text in texts], 8) @ turned
        return replace(answer, vectors=seen / np.linalg.norm(seen, axis=1, keepdims=True))


def check(migration: Migration, name: str = "neighbourhoods") -> dict[str, Any]:
    found = migration.verification or (migration.error or {})["details"]
    (one,) = [check for check in found["checks"] if check["name"] == name]
    return dict(one)


def test_a_model_that_sees_alike_has_the_same_neighbourhoods() -> None:
    migration = World(80, embedders=Kin()).complete()
    assert Status.COMPLETED == migration.status, migration.error
    details = check(migration)["details"]
    assert details["overlap"] > 0.5
    assert pytest.approx(10 / 79, abs=1e-4) == details["chance"]
    assert 80 == details["compared"] == sum(details["histogram"])
    assert 11 == len(details["histogram"])


@pytest.mark.parametrize(
    "reads",
    [lambda text: f"team {len(text)}", lambda text: text[::-1] + " unlike the text"],
    ids=["a column with few values", "a column with nothing of the text"],
)
def test_a_column_taken_for_the_text_is_seen_though_both_sides_would_agree(
    reads: Callable[[str], str],
) -> None:
    migration = World(80, embedders=Kin(reads)).complete()
    assert Status.COMPLETED != migration.status
    seen = check(migration)
    assert not seen["passed"]
    assert seen["details"]["found"] < 0.1


def test_few_distinct_vectors_of_many_texts_are_seen() -> None:
    migration = World(80, embedders=Kin(lambda text: f"team {len(text)}")).complete()
    seen = check(migration, "distinct_vectors")
    assert not seen["passed"]
    assert 1.0 == seen["details"]["before"]
    assert seen["details"]["after"] < 0.1


def test_no_provider_is_asked_for_neighbourhoods() -> None:
    world = World(80, embedders=Kin())
    migration = world.complete()
    # Two of ours by validation; moved, and once more for the vectors of their text.
    assert 162 == sum(n for (model, _), n in world.embedders.embedded.items() if model == "large")
    assert check(migration)["passed"]


def test_rows_that_share_their_text_say_nothing_of_neighbours() -> None:
    texts = ["same"] * 60 + [f"text {i}" for i in range(40)]
    migration = World(texts, embedders=Kin()).complete()
    assert Status.COMPLETED == migration.status, migration.error
    assert 60 == check(migration)["details"]["left_out"]


@pytest.mark.parametrize("rows", [1, 12, 50])
def test_where_every_row_is_near_every_other_nothing_is_judged(rows: int) -> None:
    migration = World(rows, embedders=Kin(lambda text: "one")).complete()
    seen = check(migration)
    assert seen["passed"]
    assert "Neighbourhoods were not compared" in seen["message"]
