"""Vectors of differing length, where the metric minds: refused, or kept as it was agreed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devstack.provider import vector_for
from migrations.model.agreed import Agreed
from migrations.model.config import EmbeddingRef, VectorLengths
from migrations.model.runs import Migration
from migrations.model.states import Status
from tests.fakes.embedders import LARGE, FakeEmbedders
from tests.fakes.world import OWNER, SOURCE, World


class Unequal(FakeEmbedders):
    """A model, "large", whose vectors are 0.8 to 1.2 long, each text's always the same."""

    def answer(self, ref: EmbeddingRef, texts: Sequence[str]) -> Any:
        answer = super().answer(ref, texts)
        if ref.model != LARGE.model:
            return answer
        lengths = [[0.8 + 0.4 * abs(vector_for("length", text, 8)[0])] for text in texts]
        return replace(answer, vectors=(answer.vectors * np.array(lengths)).astype(np.float32))


def world_of(metric: str, embedders: FakeEmbedders) -> World:
    world = World(40, embedders=embedders)
    held = world.vectors._collections[SOURCE]
    held.schema = replace(held.schema, metric=metric)
    return world


def refusal(migration: Migration) -> str:
    assert Status.ROLLED_BACK == migration.status
    error = migration.error or {}
    assert "validation-failed" == error["code"]
    return str(error["message"])


@pytest.mark.parametrize("metric", ["IP", "L2"])
def test_a_model_of_unequal_lengths_is_refused_before_anything_is_embedded(metric: str) -> None:
    world = world_of(metric, Unequal())
    assert "The new vectors differ in length, from 0.8" in refusal(world.complete())
    assert SOURCE == world.bot.live.collection


def test_by_cosine_lengths_do_not_matter_and_are_not_paid_for() -> None:
    plain, unequal = world_of("COSINE", FakeEmbedders()), world_of("COSINE", Unequal())
    for world in (plain, unequal):
        migration = world.complete()
        assert (Status.COMPLETED, ()) == (migration.status, migration.warnings)
    assert plain.embedders.billed == unequal.embedders.billed


def test_they_are_kept_where_that_is_agreed_with_a_warning_to_the_end() -> None:
    world = world_of("IP", Unequal())
    migration = world.complete(vector_lengths=VectorLengths.KEEP)
    assert Status.COMPLETED == migration.status, migration.error
    assert any("they are kept as they come" in warning for warning in migration.warnings)


@pytest.mark.parametrize("metric", ["IP", "L2", "COSINE"])
def test_a_model_of_equal_lengths_passes_without_a_word(metric: str) -> None:
    migration = world_of(metric, FakeEmbedders()).complete()
    assert (Status.COMPLETED, ()) == (migration.status, migration.warnings)


def lengthened(world: World, collection: str, model: str, dimension: int) -> None:
    for i in range(40):
        vector = vector_for(model, f"text {i}", dimension) * (0.8 + 0.01 * i)
        row = {"pk": f"k{i:03}", "text": f"text {i}", "vector": vector.astype(np.float32)}
        world.vectors.put(collection, row)


def test_stored_vectors_of_unequal_lengths_are_warned_of_and_gone_back_to() -> None:
    world = world_of("IP", FakeEmbedders())
    lengthened(world, SOURCE, "small", 8)
    migration = world.complete()
    assert Status.COMPLETED == migration.status
    (warning,) = migration.warnings
    assert "The stored vectors differ in length, from 0.800 to 1.190" in warning
    back = world.system.rollback(OWNER, migration.id).migration
    world.settle()
    assert Status.COMPLETED == world.now(back).status, world.now(back).error


def test_what_became_of_unequal_length_in_the_target_is_not_switched_to() -> None:
    world = world_of("IP", FakeEmbedders())
    migration = world.start()
    world.deliver(before="migrations.phase.verification")
    lengthened(world, migration.target_collection, "large", 16)
    world.settle()
    ended = world.now(migration)
    assert Status.ROLLED_BACK == ended.status
    assert "The new vectors differ in length" in (ended.error or {})["message"]


def test_a_change_is_validated_as_if_it_was_agreed() -> None:
    world = world_of("IP", Unequal())
    strict = world.manager.validate_change(OWNER, "bot", "fake", "large").report
    kept = Agreed(vector_lengths=VectorLengths.KEEP)
    agreed = world.manager.validate_change(OWNER, "bot", "fake", "large", agreed=kept).report
    assert (False, True) == (strict.passed, agreed.passed)
