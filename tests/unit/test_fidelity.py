"""The one judge of whether vectors are of their text."""

from __future__ import annotations

import numpy as np
import pytest

from devstack.provider import vector_for
from migrations.model.chunks import Chunk
from migrations.model.errors import ProviderUnavailable, TextRefused
from migrations.proof.fidelity import SAME_VECTOR_COSINE, Verdict, judge, judge_found
from tests.fakes.embedders import SMALL
from tests.fakes.world import World


def chunk(key: str, embedded: str, text: str | None = None) -> Chunk:
    """A chunk whose vector is of ``embedded``, by the model "small"."""
    fields = {"pk": key, "text": embedded if text is None else text}
    return Chunk(key, fields, vector_for("small", embedded, SMALL.dimension))


def chunks(right: int, wrong: int) -> list[Chunk]:
    good = [chunk(f"r{i}", f"text {i}") for i in range(right)]
    return good + [chunk(f"w{i}", f"title {i}", f"text {i}") for i in range(wrong)]


def judged(world: World, found: list[Chunk]) -> Verdict:
    """What an errand says of them."""
    return judge_found(world.errand(), SMALL, found, world.bot.recipe, "validation")


@pytest.mark.parametrize(("right", "wrong", "passed"), [(3, 0, True), (2, 1, True), (1, 1, False)])
def test_of_vectors_that_were_found_most_must_be_of_their_text(
    right: int, wrong: int, passed: bool
) -> None:
    verdict = judged(World(0), chunks(right, wrong))
    assert (passed, [f"w{i}" for i in range(wrong)]) == (verdict.passed, verdict.strangers)
    assert ("warning" if passed else "error") == verdict.severity


def test_of_vectors_that_were_made_every_single_one_must_be_of_its_text() -> None:
    made = [chunk(f"k{i}", f"text {i}") for i in range(9)]
    again = {one.key: one.vector for one in made if one.vector is not None}
    assert judge(made, again, made=True).passed
    verdict = judge(made, again | {"k4": again["k5"]}, made=True)
    assert (False, ["k4"], "error") == (verdict.passed, verdict.strangers, verdict.severity)


def test_a_text_the_model_refuses_is_a_fault_of_what_was_made_and_proves_nothing_else() -> None:
    two = [chunk("a", "one"), chunk("b", "two")]
    again = {"a": vector_for("small", "one", SMALL.dimension)}
    assert ["b"] == judge(two, again, made=True).strangers
    assert {"a"} == judge(two, again, made=False).cosines.keys()


@pytest.mark.parametrize(
    ("cosine", "passed"), [(SAME_VECTOR_COSINE, True), (0.9967, False), (float("nan"), False)]
)
def test_the_threshold_is_the_same_for_both(cosine: float, passed: bool) -> None:
    for made in (True, False):
        assert passed == Verdict({"a": cosine}, made).passed


def test_a_vector_of_zeros_is_of_no_text() -> None:
    zeros = Chunk("a", {"text": "one"}, np.zeros(SMALL.dimension, dtype=np.float32))
    assert {"a": 0.0} == judged(World(0), [zeros]).cosines


def test_equal_texts_are_asked_once_and_chunks_without_a_text_not_at_all() -> None:
    world = World(0)
    embedders = world.embedders
    some = [chunk("a", "one"), chunk("b", "one"), chunk("c", "two", "")]
    assert {"a", "b"} == judged(world, some).cosines.keys()
    assert {("small", "one"): 2} == {k: n for k, n in embedders.embedded.items() if k[1] == "one"}
    assert 2 == embedders.calls, "and once more, with a text of our own"


def test_texts_the_model_refuses_are_found_by_halving_and_left_out() -> None:
    world = World(0)
    embedders = world.embedders
    embedders.refuse("text 3")
    verdict = judged(world, chunks(8, 0))
    assert (7, True) == (len(verdict.cosines), verdict.passed)


def test_a_model_that_refuses_every_text_or_does_not_answer_proves_nothing() -> None:
    world = World(0)
    embedders = world.embedders
    embedders.refuse("text")
    with pytest.raises(TextRefused, match="every text of the sample"):
        judged(world, chunks(3, 0))
    embedders.recover()
    embedders.fail(ProviderUnavailable(), times=None)
    with pytest.raises(ProviderUnavailable):
        judged(world, chunks(3, 0))


def test_a_text_longer_than_the_model_takes_is_not_judged() -> None:
    """Nobody knows how it was cut."""
    long = "long " * 9000
    verdict = judged(World(0), [*chunks(1, 0), chunk("l", "x", long)])
    assert {"r0"} == verdict.cosines.keys()
