"""Parts of texts as questions, and the scores that they give: old and new side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from migrations.model.chunks import Embedded, Hit
from migrations.model.config import EmbeddingRef
from migrations.model.errors import ProviderUnavailable
from migrations.model.questions import LONGEST_PART, part_of
from migrations.model.report import Report
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.proof.scores import report_scores
from tests.fakes.embedders import FakeEmbedders
from tests.fakes.world import World

TEXTS = [f"alpha{i} beta{i} gamma{i} number{i} delta{i} epsilon{i} zeta{i}" for i in range(40)]


class Words(FakeEmbedders):
    """Both models know words: a text's vector is the sum of theirs, in 8 or 64 dimensions.

    ``sees`` is what the model "large" makes of a text before it reads its words.
    """

    def __init__(self, sees: Callable[[str], str] = str) -> None:
        super().__init__({"small": 8, "large": 64})
        self._sees = sees

    def answer(self, ref: EmbeddingRef, texts: Sequence[str]) -> Embedded:
        answer = super().answer(ref, texts)
        read = [self._sees(text) if ref.model == "large" else text for text in texts]
        return replace(answer, vectors=np.stack([_of_words(t, ref.dimension) for t in read]))


def _of_words(text: str, dimension: int) -> Any:
    rows = [
        np.random.default_rng(list(w.encode())).standard_normal(dimension) for w in text.split()
    ]
    total = np.sum(rows, axis=0)
    return (total / np.linalg.norm(total)).astype(np.float32)


def world_of(embedders: Words, **settings: Any) -> World:
    """Its old collection holds the vectors of words, not the stub's."""
    world = World(["seed"], embedders=embedders, settings={"gates": OPEN, **settings})
    for i, text in enumerate(TEXTS):
        vector = _of_words(text, 8)
        world.vectors.put("source", {"pk": f"k{i:03}", "text": text, "page": 1, "vector": vector})
    return world


#: What is not looked at here.
OPEN = {"neighbourhood_overlap": 0, "distinct_vectors": 0, "recall": 0}


def check(migration: Migration, name: str) -> dict[str, Any]:
    found = migration.verification or (migration.error or {})["details"]
    (one,) = [check for check in found["checks"] if check["name"] == name]
    return dict(one)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("short", None),
        (
            "one two three four five six seven eight nine ten eleven twelve",
            "five six seven eight nine",
        ),
        ("一" * 20 + "二" * 40 + "三" * 20, "二" * 40),
    ],
)
def test_a_part_is_the_half_in_the_middle(text: str, part: str | None) -> None:
    assert part == part_of(text)


def test_a_part_of_a_long_text_is_no_longer_than_a_question() -> None:
    assert len(part_of("word " * 10_000) or "") <= LONGEST_PART


def test_parts_of_texts_find_their_rows_on_both_sides() -> None:
    migration = world_of(Words()).complete()
    assert Status.COMPLETED == migration.status, migration.error
    seen = check(migration, "parts_of_texts")
    assert 40 == seen["details"]["questions"]
    assert seen["details"]["recall_before"] > 0.6
    assert seen["details"]["recall_after"] > 0.9


def test_a_model_that_finds_by_whole_texts_alone_is_seen() -> None:
    """As a model does that was given another text for each row: nothing but itself finds it."""
    migration = world_of(Words(sees=lambda text: text.replace(" ", "-"))).complete()
    assert Status.COMPLETED != migration.status
    assert not check(migration, "parts_of_texts")["passed"]


def test_where_the_old_collection_finds_them_by_chance_nothing_is_judged() -> None:
    """The stub's vector of a part has nothing to do with that of its text."""
    texts = [f"a text that is long enough for a part of it, number {i}" for i in range(25)]
    migration = World(texts).complete()
    assert Status.COMPLETED == migration.status
    seen = check(migration, "parts_of_texts")
    assert "says nothing" in seen["message"]


def test_no_more_parts_are_asked_than_the_settings_say() -> None:
    migration = world_of(Words(), verify_questions=12).complete()
    assert 12 == check(migration, "parts_of_texts")["details"]["questions"]


def test_texts_too_short_for_parts_are_not_asked_for() -> None:
    migration = World().complete()
    assert "Parts of texts were not asked for" in check(migration, "parts_of_texts")["message"]


def test_an_old_model_that_is_gone_is_told_and_holds_nothing_back() -> None:
    world = world_of(Words())
    world.embedders.fail(ProviderUnavailable("gone"), times=None, model="small")
    migration = world.complete(unproven_text=True)
    assert Status.COMPLETED == migration.status, migration.error
    assert "The old model does not answer" in check(migration, "parts_of_texts")["message"]


def hits(*scores: float) -> list[list[Hit]]:
    return [[Hit(i, score, {}) for i, score in enumerate(scores)]]


@pytest.mark.parametrize(
    ("smaller_is_better", "before", "after"), [(False, 0.75, 0.375), (True, 0.75, 0.375)]
)
def test_a_threshold_keeps_the_same_share_after_as_before(
    smaller_is_better: bool, before: float, after: float
) -> None:
    report = Report()
    old, new = hits(0.5, 0.75, 1.0), hits(0.25, 0.375, 0.5)
    report_scores(report, old, new, smaller_is_better=smaller_is_better)
    (check,) = report.checks
    half = next(t for t in check.details["thresholds"] if t["share"] == 0.5)
    assert (before, after) == (half["before"], half["after"])
    most = next(t for t in check.details["thresholds"] if t["share"] == 0.9)
    assert (most["before"] > 0.75) is smaller_is_better
    assert 3 == sum(check.details["before"]) == sum(check.details["after"])
