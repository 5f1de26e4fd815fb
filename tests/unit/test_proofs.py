"""What shows that a text was embedded, by which threshold, and what of it closes the way back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devstack.provider import vector_for
from migrations.model.agreed import Agreed
from migrations.model.config import EmbeddingRef
from migrations.model.errors import ProviderUnavailable, RollbackUnavailable
from migrations.model.proofs import How
from migrations.model.requests import BotChange, BotRegistration
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.model.texts import FieldRecipe
from migrations.proof.fidelity import threshold_by, threshold_of_made
from tests.fakes.embedders import SMALL, FakeEmbedders
from tests.fakes.world import OWNER, SOURCE, World

GONE = ProviderUnavailable("It is gone.")


class Restless(FakeEmbedders):
    """A model that answers a text with other bits in other company."""

    def __init__(self, noise: float, model: str = "small") -> None:
        super().__init__()
        self._noise, self._model = noise, model

    def answer(self, ref: EmbeddingRef, texts: Any) -> Any:
        answer = super().answer(ref, texts)
        if ref.model != self._model:
            return answer
        company = vector_for("company", "".join(texts), ref.dimension)
        shifted = [
            vector + self._noise * np.roll(company, i) for i, vector in enumerate(answer.vectors)
        ]
        return replace(answer, vectors=np.array(shifted, dtype=np.float32))


def turned_round(world: World, migration: Migration) -> Migration:
    back = world.system.rollback(OWNER, migration.id).migration
    world.settle()
    return world.now(back)


def ready(world: World) -> tuple[bool, tuple[str, ...]]:
    way_back = world.system.status(OWNER, "bot").rollback
    return way_back.ready, way_back.blockers


def edited(world: World, share: float) -> None:
    """So many rows were edited without being embedded again."""
    for i in range(round(12 * share)):
        vector = vector_for("small", f"what it was {i}", SMALL.dimension)
        world.vectors.put(SOURCE, {"pk": f"k{i:03}", "text": f"text {i}", "vector": vector})


# --- the threshold -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("echoes", "threshold"),
    [((), 0.999), ((1.0, 1.0), 0.999), ((0.997, 0.997), 0.996), ((0.9, 0.9), 0.99)],
)
def test_the_threshold_lies_a_margin_below_what_a_model_reproduces_of_itself(
    echoes: tuple[float, ...], threshold: float
) -> None:
    assert threshold == threshold_by(World(0).services.settings, echoes)


def test_margin_and_floor_are_settings() -> None:
    settings = World(0, {"same_vector_margin": 0.01, "same_vector_floor": 0.95}).services.settings
    assert (0.99, 0.95) == (threshold_by(settings), threshold_by(settings, [0.9]))


def test_a_model_that_does_not_answer_alike_is_left_and_gone_back_to() -> None:
    """By one threshold, it was refused forward, or gone from and never gone back to."""
    world = World(40, embedders=Restless(0.06))
    migration = world.complete()
    assert Status.COMPLETED == migration.status, migration.error
    assert migration.proof is not None
    assert migration.proof.threshold is not None
    assert 0.99 <= migration.proof.threshold < 0.999
    assert (True, ()) == ready(world)
    assert Status.COMPLETED == turned_round(world, migration).status


def test_a_target_of_such_a_model_is_verified_by_how_it_answers() -> None:
    world = World(40, {"verify_sample": 10}, embedders=Restless(0.06, "large"))
    migration = world.complete()
    assert Status.COMPLETED == migration.status, migration.error
    checks = {check["name"]: check for check in (migration.verification or {})["checks"]}
    assert checks["vectors_of_their_text"]["details"]["threshold"] < 0.999


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
def test_none_of_many_answers_of_such_a_model_is_taken_for_another_texts(noise: float) -> None:
    settings = World(0).services.settings
    random = np.random.default_rng(7)

    def alike(answers: int) -> Any:
        """Cosines of two answers that differ by noise in 16 dimensions."""
        return 1 - noise**2 * random.chisquare(16, answers) / 16

    false_alarms = 0
    for _ in range(500):
        least = threshold_of_made(settings, alike(20))
        false_alarms += bool((alike(200) < least).any())
    assert false_alarms <= 5


def test_a_model_that_answers_anything_proves_nothing() -> None:
    refused = World(40, embedders=Restless(0.5)).complete()
    assert Status.ROLLED_BACK == refused.status
    assert "may not be the text that was embedded" in (refused.error or {})["message"]


# --- the way back, known before the switch -------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.25, 0.4])
def test_rows_that_were_edited_before_keep_nobody_from_leaving_nor_from_coming_back(
    share: float,
) -> None:
    world = World()
    edited(world, share)
    migration = world.complete()
    assert Status.COMPLETED == migration.status
    assert (True, ()) == ready(world)
    back = turned_round(world, migration)
    assert Status.COMPLETED == back.status, back.error


def test_vectors_that_were_ruined_since_the_switch_are_not_gone_back_to() -> None:
    world = World()
    migration = world.complete()
    edited(world, 0.9)
    back = turned_round(world, migration)
    assert Status.ROLLED_BACK == back.status
    assert "sampled vectors are of their own text" in (back.error or {})["message"]


def test_what_the_way_back_itself_writes_must_be_of_its_text_each_row() -> None:
    world = World()
    migration = world.complete()
    for i in range(3):
        world.write(f"new{i}", f"new {i}", collection=world.bot.live.collection)
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver(before="migrations.phase.verification")
    wrong = vector_for("small", "another", SMALL.dimension)
    world.vectors.put(SOURCE, {"pk": "new1", "text": "new 1", "vector": wrong})
    world.settle()
    assert Status.ROLLED_BACK == world.now(back).status
    assert "new1" in str((world.now(back).error or {})["details"])


def test_a_new_model_that_has_drifted_does_not_keep_the_bot_from_going_back() -> None:
    """But then nothing leads forward again, and that is known."""
    world = World()
    migration = world.complete()
    live = world.bot.live.collection
    for i in range(12):
        vector = vector_for("large", f"drifted {i}", 16)
        world.vectors.put(live, {"pk": f"k{i:03}", "text": f"text {i}", "vector": vector})
    back = turned_round(world, migration)
    assert Status.COMPLETED == back.status, back.error
    is_ready, (blocker,) = ready(world)
    assert not is_ready
    assert "did not give the stored vectors again when the bot left it (12 of 12" in blocker
    with pytest.raises(RollbackUnavailable, match="Start a migration to it instead"):
        world.system.rollback(OWNER, back.id)


def test_texts_that_only_the_new_model_takes_whole_do_not_keep_the_bot_from_going_back() -> None:
    world = World([f"{i} and so on " * 10 for i in range(12)])
    migration = world.complete()
    world.embedders.max_input_tokens = 15
    back = turned_round(world, migration)
    assert Status.COMPLETED == back.status, back.error
    assert any("of those written since the switch" in warning for warning in back.warnings)


# --- without a proof -----------------------------------------------------------------------


def test_a_text_that_nothing_has_ever_shown_closes_the_way_back_and_says_so_to_the_end() -> None:
    world = World()
    world.embedders.fail(GONE, times=None, model="small")
    migration = world.complete(unproven_text=True)
    assert Status.COMPLETED == migration.status
    proof = migration.proof
    assert proof is not None
    assert (How.STATED, OWNER.owner, None) == (proof.how, proof.by, proof.cosines)
    (warning,) = migration.warnings
    assert "it was started with unproven_text" in warning
    world.embedders.recover()
    is_ready, (blocker,) = ready(world)
    assert not is_ready
    assert "did not answer when the bot left it (It is gone.)" in blocker
    assert world.vectors.is_loaded(SOURCE)


def test_a_text_that_was_shown_at_registration_keeps_the_way_back_open() -> None:
    world = registered(World())
    world.embedders.fail(GONE, times=None, model="small")
    migration = world.complete(unproven_text=True)
    assert migration.proof == world.bot.proof
    world.embedders.recover()
    assert (True, ()) == ready(world)
    assert Status.COMPLETED == turned_round(world, migration).status


def registered(world: World) -> World:
    """The bot once more, with what it was embedded from found by itself."""
    world.system.remove_bot(OWNER, "bot")
    world.system.register_bot(OWNER, BotRegistration("bot", SOURCE, "fake", "small", alias="live"))
    return world


# --- the proof is kept ---------------------------------------------------------------------


def test_what_is_found_at_registration_is_kept_with_its_figures() -> None:
    proof = registered(World()).bot.proof
    assert proof is not None
    assert (How.REPRODUCED, OWNER.owner, SMALL) == (proof.how, proof.by, proof.embedding)
    assert (12, 0, 0.999) == (proof.judged, proof.strangers, proof.threshold)
    assert proof.cosines is not None
    assert proof.reproduces is not None
    assert 1.0 == pytest.approx(proof.cosines.median) == pytest.approx(proof.reproduces.lowest)


def test_what_is_stated_is_kept_as_that_until_a_validation_has_shown_it() -> None:
    world = World()
    stated = world.bot.proof
    assert stated is not None
    assert (How.STATED, OWNER.owner, 0) == (stated.how, stated.by, stated.judged)
    started = world.start()
    assert stated == started.proof
    world.deliver()
    shown = world.now(started).proof
    assert shown is not None
    assert (How.REPRODUCED, 12) == (shown.how, shown.judged)
    assert shown == world.bot.proof


def test_another_text_has_a_proof_of_its_own() -> None:
    world = World()
    rows = [
        {"pk": f"k{i:03}", "text": "x", "body": f"text {i}", "vector": vector}
        for i in range(12)
        for vector in [vector_for("small", f"text {i}", SMALL.dimension)]
    ]
    for row in rows:
        world.vectors.put(SOURCE, row)
    changed = world.system.change_bot(OWNER, "bot", BotChange(recipe=FieldRecipe(field="body")))
    assert changed.proof is not None
    assert How.REPRODUCED == changed.proof.how
    again = world.system.change_bot(OWNER, "bot", BotChange(recipe=FieldRecipe(field="body")))
    assert changed == again


# --- a model that is gone ------------------------------------------------------------------


def test_nothing_is_asked_of_a_model_that_is_gone_and_what_is_lost_is_said_beforehand() -> None:
    world = World()
    world.embedders.fail(GONE, times=None, model="small")
    agreed = Agreed(old_model_gone=True)
    report = world.manager.validate_change(OWNER, "bot", "fake", "large", agreed=agreed).report
    assert report.passed
    lost = [check.message for check in report.warnings]
    assert 2 == len(lost)
    assert "nothing shows now that the text field 'text' is what was embedded" in lost[0]
    assert "there is no rollback after the switch" in lost[1]
    assert "stays as it is and can be read for 72 hours" in lost[1]
    migration = world.complete(old_model_gone=True)
    assert Status.COMPLETED == migration.status, migration.error
    assert tuple(lost) == migration.warnings
    assert migration.proof is not None
    assert (How.STATED, OWNER.owner) == (migration.proof.how, migration.proof.by)


def test_a_model_that_is_gone_is_not_even_called() -> None:
    world = World()
    called: list[str] = []
    answer = world.embedders.answer

    def counted(ref: EmbeddingRef, texts: Any) -> Any:
        called.append(ref.model)
        return answer(ref, texts)

    world.embedders.answer = counted  # type: ignore[method-assign]
    migration = world.complete(old_model_gone=True)
    world.write("late", "written to the old collection")
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert {"large"} == set(called)


def test_after_a_model_is_gone_there_is_no_way_back_and_the_old_collection_is_read() -> None:
    world = registered(World())
    before = world.contents(SOURCE)
    migration = world.complete(old_model_gone=True)
    is_ready, (blocker,) = ready(world)
    assert not is_ready
    assert "The migration was started with old_model_gone" in blocker
    with pytest.raises(RollbackUnavailable, match="old_model_gone"):
        world.system.rollback(OWNER, migration.id)
    assert before == world.contents(SOURCE)
