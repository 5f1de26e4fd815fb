"""Texts in a table of the user's own: whatever changes there is embedded again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from migrations.model.errors import InvalidConfiguration, VectorStoreUnavailable
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.way_back.late_writes import sweep
from tests.fakes.embedders import LARGE, SMALL, tokens_of
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
    assert {} == world.store.embedded_texts(run.target.name, ["k001"])


def test_of_two_who_write_a_row_at_once_neither_says_what_it_is_of() -> None:
    world = world_of()
    run = world.run_of(world.complete())
    vectors, target = run.services.vectors, run.target
    (row,) = vectors.fetch(run.source, ["k001"], with_vectors=True)

    def write() -> None:
        vectors.upsert(target, [row], np.ones((1, LARGE.dimension), np.float32))

    with world.at("looked_up.before_noting", write):
        write()
    assert {} == world.store.embedded_texts(target.name, ["k001"])
    write()
    assert {"k001"} == world.store.embedded_texts(target.name, ["k001"]).keys()


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
