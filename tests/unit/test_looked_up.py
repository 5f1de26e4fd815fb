"""Texts in a table of the user's own: whatever changes there is embedded again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from migrations.model.errors import (
    InvalidConfiguration,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.model.requests import BotChange, BotRegistration, StartRequest
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.way_back.late_writes import sweep
from tests.fakes.embedders import LARGE, SMALL, tokens_of, vector_in
from tests.fakes.text_tables import IN_A_TABLE
from tests.fakes.world import OWNER, SOURCE, World, kill


def world_of(texts: Any = 12, **more: Any) -> World:
    return World(texts, in_a_table=True, **more)


def roll_back(world: World, migration: Migration) -> Migration:
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver()
    return world.now(back)


def change(world: World, **texts: str) -> Callable[[], None]:
    return lambda: world.tables.texts.update(texts)


def assert_all_is_of_its_text(world: World) -> None:
    live = world.bot.live
    assert world.texts_of(SOURCE).keys() == world.texts_of(live.collection).keys()
    assert [] == world.wrongly_embedded(live.collection, live.embedding)


def test_a_run_embeds_the_texts_of_the_table_and_writes_none_to_milvus() -> None:
    world = world_of()
    migration = world.complete()
    assert Status.COMPLETED is migration.status, migration.error
    assert [] == list(migration.warnings)
    assert LARGE == world.bot.live.embedding
    assert_all_is_of_its_text(world)
    fields = [fields for fields, _ in world.contents(world.bot.live.collection).values()]
    assert [{"pk", "page"}] * 12 == [set(one) for one in fields]


@pytest.mark.parametrize(
    "point",
    [
        "batch.before_upsert",
        "batch.after_mark",
        "verification.before_run",
        "finalization.before_run",
    ],
)
def test_a_text_that_changes_during_the_run_is_embedded_again(point: str) -> None:
    world = world_of()
    with world.at(point, change(world, k001="another text")):
        migration = world.complete()
    assert Status.COMPLETED is migration.status, migration.error
    assert "another text" == world.texts_of(world.bot.live.collection)["k001"]
    assert_all_is_of_its_text(world)


def test_a_text_that_changes_after_the_switch_is_embedded_by_the_next_sweep() -> None:
    world = world_of()
    migration = world.complete()
    world.tables.texts["k001"] = "another text"
    assert ["k001"] == world.wrongly_embedded(world.bot.live.collection, LARGE)
    found = sweep(world.services, migration)
    assert (1, 0) == (found.applied, found.conflicts)
    assert_all_is_of_its_text(world)
    assert sweep(world.services, migration).quiet


def test_what_applications_have_written_to_the_live_collection_is_theirs_to_embed() -> None:
    world = world_of()
    migration = world.complete()
    live = world.bot.live.collection
    world.write("k900", "came later", collection=live)
    world.tables.texts["k900"] = "changed by whoever wrote it"
    del world.tables.texts["k003"]
    before = world.contents(live)
    assert 0 == sweep(world.services, migration).applied
    assert before == world.contents(live), "a row that has lost its text keeps its vector"


def test_a_text_that_changes_while_a_way_back_fails_is_embedded_by_the_next_sweep() -> None:
    world = world_of()
    migration = world.complete()
    back = world.system.rollback(OWNER, migration.id).migration

    def change_and_fail() -> None:
        world.tables.texts["k001"] = "another text"
        world.vectors.fail("is_loaded", VectorStoreRefused())

    with world.at("verification.before_run", change_and_fail):
        world.deliver()
    failed = world.now(back)
    assert (Status.ROLLED_BACK, "verification") == (failed.status, failed.error["phase"])
    sweep(world.services, world.now(migration))
    assert [] == world.wrongly_embedded(world.bot.live.collection, LARGE)


def test_the_way_back_embeds_what_has_changed_since_and_nothing_else() -> None:
    world = world_of()
    migration = world.complete()
    live = world.bot.live.collection
    world.tables.texts["k001"] = "another text"
    world.write("k900", "came later", collection=live)
    world.vectors.remove(live, "k002")
    before = world.store.tokens_by_purpose(migration.id).get("catch_up", 0)
    back = roll_back(world, migration)
    assert Status.COMPLETED is back.status, back.error
    assert (SOURCE, SMALL) == (world.bot.live.collection, world.bot.live.embedding)
    assert [] == world.wrongly_embedded(SOURCE, SMALL)
    assert "k900" in world.texts_of(SOURCE)
    assert "k002" not in world.texts_of(SOURCE)
    embedded = world.store.tokens_by_purpose(back.id)["catch_up"]
    assert (0, sum(map(tokens_of, ["another text", "came later"]))) == (before, embedded)


def test_a_text_that_changed_beside_the_old_vector_during_the_run_is_embedded_on_the_way_back() -> (
    None
):
    world = world_of()
    with world.at("finalization.before_run", change(world, k001="another text")):
        migration = world.complete()
    assert ["k001"] == world.wrongly_embedded(SOURCE, SMALL)
    back = roll_back(world, migration)
    assert Status.COMPLETED is back.status, back.error
    assert [] == world.wrongly_embedded(SOURCE, SMALL)


def test_a_worker_killed_before_it_has_noted_what_it_wrote_claims_nothing() -> None:
    world = world_of()

    def change_and_die() -> None:
        world.tables.texts["k001"] = "another text"
        kill()

    with world.at("looked_up.before_noting", change_and_die, kill):
        migration = world.start()
        world.deliver()
        world.settle()
    migration = world.now(migration)
    assert Status.COMPLETED is migration.status, migration.error
    assert_all_is_of_its_text(world)


def test_a_text_that_changes_back_after_a_worker_died_is_not_taken_for_embedded() -> None:
    world = world_of()
    migration = world.start_at(Phase.VERIFICATION)
    world.tables.texts["k001"] = "for a moment"

    def change_back_and_die() -> None:
        world.tables.texts["k001"] = "text 1"
        kill()

    with world.at("looked_up.before_noting", change_back_and_die):
        world.settle()
    assert "text 1" == world.tables.texts["k001"]
    assert Status.COMPLETED is world.now(migration).status, world.now(migration).error
    assert_all_is_of_its_text(world)


def test_a_row_that_could_not_be_written_is_not_noted() -> None:
    world = world_of()
    migration = world.complete()
    run = world.run_of(migration)
    (row,) = run.services.vectors.fetch(run.source, ["k001"])
    world.vectors.fail("upsert", VectorStoreUnavailable())
    with pytest.raises(VectorStoreUnavailable):
        run.services.vectors.upsert(run.target, [row], np.zeros((1, LARGE.dimension)))
    assert {"k001": ""} == world.store.embedded_texts(run.target.name, ["k001"])


def test_of_two_who_write_a_row_at_once_neither_says_what_it_is_of() -> None:
    world = world_of()
    run = world.run_of(world.complete())
    vectors, target = run.services.vectors, run.target
    (row,) = vectors.fetch(run.source, ["k001"], with_vectors=True)

    def write() -> None:
        vectors.upsert(target, [row], np.ones((1, LARGE.dimension), np.float32))

    with world.at("looked_up.before_noting", write):
        write()
    assert {"k001": ""} == world.store.embedded_texts(target.name, ["k001"])
    write()
    assert all(world.store.embedded_texts(target.name, ["k001"]).values())


@pytest.mark.parametrize("point", ["batch.before_read", "verification.before_run"])
def test_a_database_that_is_away_in_the_middle_is_waited_for(point: str) -> None:
    world = world_of()

    def go_away() -> None:
        world.tables.away = 5

    with world.at(point, go_away):
        migration = world.complete()
    assert Status.COMPLETED is migration.status, migration.error
    assert 0 == world.tables.away
    assert_all_is_of_its_text(world)


def test_a_row_that_the_table_does_not_have_has_no_text() -> None:
    world = world_of()
    del world.tables.texts["k003"]
    migration = world.complete()
    assert Status.ROLLED_BACK is migration.status
    assert "1 empty" in str(migration.error)
    migration = world.complete(max_failed_ratio=0.1)
    assert Status.COMPLETED is migration.status, migration.error
    assert "k003" not in world.texts_of(world.bot.live.collection)


def test_texts_that_were_not_embedded_are_found_out_before_anything_is_paid() -> None:
    world = world_of()
    world.tables.texts = {key: f"not {text}" for key, text in world.tables.texts.items()}
    migration = world.complete()
    assert Status.ROLLED_BACK is migration.status
    assert "may not be the text that was embedded" in migration.error["message"]


def test_a_collection_whose_keys_milvus_gives_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="cannot be looked up"):
        world_of(keys_are_given=True, key_of=lambda i: i + 1)


@pytest.mark.parametrize("old_one_first", [True, False])
def test_of_a_key_that_stands_twice_no_row_is_taken_for_the_newer_one(old_one_first: bool) -> None:
    world = world_of()
    migration = world.start_at(Phase.VERIFICATION)
    world.tables.texts["k002"] = "changed"
    world.deliver()
    live = world.bot.live.collection
    if old_one_first:
        world.vectors.put(live, {"pk": "k002", "page": 1, "vector": vector_in(LARGE, "text 2")})
        world.double("k002", "changed", collection=live)
    else:
        world.double("k002", "text 2", collection=live)
    sweep(world.services, world.now(migration))
    assert 12 == world.vectors.count(live)
    assert [] == world.wrongly_embedded(live, LARGE)


def test_what_is_kept_of_a_late_write_does_not_hold_the_tables_text() -> None:
    world = world_of()
    migration = world.complete()
    world.write("k001", "written late", page=7)
    world.write("k001", "and here", collection=world.bot.live.collection, page=8)
    sweep(world.services, migration)
    (kept,) = world.store.conflicts(migration.id)
    assert {"pk": "k001", "page": 7} == kept.fields


def test_a_diagnosis_judges_the_table_that_is_stated_beside_what_stands_in_the_rows() -> None:
    world = world_of()
    world.write("k001", "text 1", note="a note")
    (first, *_) = world.manager.diagnose(OWNER, "bot").candidates
    assert (IN_A_TABLE, True, 12) == (first.recipe, first.fits, first.judged)


def test_a_table_that_proves_wrong_is_no_bots() -> None:
    world = World(in_a_table=False)
    world.tables.texts = {f"k{i:03}": f"another {i}" for i in range(12)}
    with pytest.raises(InvalidConfiguration, match="does not give the stored vectors"):
        world.system.change_bot(OWNER, "bot", BotChange(recipe=IN_A_TABLE))
    world.tables.texts = {f"k{i:03}": f"text {i}" for i in range(12)}
    assert IN_A_TABLE == world.system.change_bot(OWNER, "bot", BotChange(recipe=IN_A_TABLE)).recipe


def test_a_table_without_any_of_the_rows_is_refused_when_it_is_stated() -> None:
    world = world_of(3)
    world.vectors.seed("another", [{"pk": "x"}], SMALL.dimension, "other")
    wish = BotRegistration("b", "other", SMALL.provider, SMALL.model, recipe=IN_A_TABLE)
    with pytest.raises(InvalidConfiguration, match="Looked up were keys such as 'x'"):
        world.system.register_bot(OWNER, wish)


def test_the_key_may_stand_in_another_field() -> None:
    world = world_of(3)
    rows = [
        {"pk": f"x{i}", "of": f"k00{i}", "vector": vector_in(SMALL, f"text {i}")} for i in (0, 1)
    ]
    world.vectors.seed("another", rows, SMALL.dimension, "other")
    recipe = IN_A_TABLE.model_copy(update={"looked_up_by": "of"})
    wish = BotRegistration("b", "other", SMALL.provider, SMALL.model, recipe=recipe)
    world.system.register_bot(OWNER, wish)
    asked = StartRequest("b", provider=LARGE.provider, model=LARGE.model)
    migration = world.system.start_migration(OWNER, asked).migration
    world.deliver()
    assert Status.COMPLETED is world.now(migration).status, world.now(migration).error
    schema = world.vectors.describe(world.store.bot("b").live.collection)
    found = world.vectors.fetch(schema, ["x0", "x1"], with_vectors=True)
    for i, chunk in enumerate(found):
        assert np.array_equal(vector_in(LARGE, f"text {i}"), chunk.vector)
