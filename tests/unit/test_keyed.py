"""Collections whose keys Milvus gives: told by the keys of what they are copies of."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from migrations.model.errors import VectorStoreUnavailable
from migrations.model.given_keys import STRANGERS, Mapped, digest_of
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.model.task_names import BATCH
from migrations.way_back.late_writes import sweep
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import OWNER, SOURCE, World, kill, row_of


def world_of(texts: Any = 12, **more: Any) -> World:
    return World(texts, key_of=lambda i: i + 1, keys_are_given=True, **more)


def texts_in(world: World, collection: str) -> Counter[str]:
    """Whatever their keys."""
    return Counter(world.texts_of(collection).values())


def keys_of(world: World, migration: Migration) -> dict[int, int]:
    """{old: new}, of all chunks."""
    new = world.now(migration).target_collection
    return dict(world.store.key_map(SOURCE, new, None, 1000))


def insert(world: World, text: str, collection: str) -> Any:
    ref = SMALL if collection == SOURCE else LARGE
    return world.vectors.put_new(collection, row_of(0, text, ref))


def roll_back(world: World, migration: Migration) -> Migration:
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver()
    return world.now(back)


def test_a_run_moves_every_chunk_and_tells_the_new_keys() -> None:
    world = world_of()
    migration = world.complete()
    live = world.bot.live.collection
    assert (Status.COMPLETED, []) == (migration.status, list(migration.warnings))
    assert texts_in(world, SOURCE) == texts_in(world, live)
    assert [] == world.wrongly_embedded(live, LARGE)
    old, new = world.texts_of(SOURCE), world.texts_of(live)
    assert {old[a]: new[b] for a, b in keys_of(world, migration).items()} == {
        text: text for text in old.values()
    }


def test_it_is_refused_unless_new_keys_are_agreed_to() -> None:
    world = world_of()
    migration = world.complete(keys="keep")
    assert Status.ROLLED_BACK is migration.status
    assert "keys: reassign" in migration.error["message"]


def test_foreign_writes_during_the_run_are_caught_up() -> None:
    world = world_of()

    def foreign() -> None:
        insert(world, "came meanwhile", SOURCE)
        world.vectors.remove(SOURCE, 3)

    with world.at("batch.after_mark", foreign):
        migration = world.complete()
    assert Status.COMPLETED is migration.status
    assert "came meanwhile" in texts_in(world, SOURCE)
    assert texts_in(world, SOURCE) == texts_in(world, world.bot.live.collection)


@pytest.mark.parametrize("rounds", [1, 2])
def test_what_was_written_since_is_kept_on_the_way_back_and_forth(rounds: int) -> None:
    world = world_of()
    migration = world.complete()
    for number in range(rounds):
        live = world.bot.live.collection
        insert(world, f"new {number}", live)
        gone = next(k for k, text in world.texts_of(live).items() if text == f"text {number}")
        world.vectors.remove(live, gone)
        expected = texts_in(world, live)
        back = roll_back(world, migration)
        assert Status.COMPLETED is back.status, back.error
        assert expected == texts_in(world, world.bot.live.collection)
        migration = back
    assert (SMALL if rounds == 1 else LARGE) == world.bot.live.embedding
    assert [] == world.wrongly_embedded(world.bot.live.collection, world.bot.live.embedding)


def test_a_worker_killed_between_an_insert_and_its_keys_leaves_nothing_twice() -> None:
    world = world_of()
    with world.at("keyed.before_pairs", kill, kill):
        migration = world.start()
        world.deliver()
        world.settle()
    migration = world.now(migration)
    assert Status.COMPLETED is migration.status, migration.error
    live = world.bot.live.collection
    assert texts_in(world, SOURCE) == texts_in(world, live)
    assert len(world.texts_of(SOURCE)) == world.vectors.count(live)


def test_what_a_killed_worker_has_paid_for_and_inserted_is_not_paid_for_again() -> None:
    world = world_of(3)
    with world.at("keyed.before_pairs", kill):
        migration = world.start_at(Phase.DATA_MIGRATION)
        world.deliver(before=BATCH)
        world.work(world.queue.pop(0))
        world.queue.clear()  # nobody gets its message
        world.settle()
    undisturbed = world_of(3)
    undisturbed.complete()
    assert Status.COMPLETED is world.now(migration).status
    assert undisturbed.embedders.embedded == world.embedders.embedded


def test_an_insert_that_has_lost_its_answer_leaves_nothing_twice() -> None:
    world = world_of()
    inner = world.vectors.insert

    def lost(*args: Any) -> Any:
        inner(*args)
        world.vectors.insert = inner
        raise VectorStoreUnavailable("no answer")

    world.vectors.insert = lost
    migration = world.complete()
    live = world.bot.live.collection
    assert Status.COMPLETED is migration.status
    assert texts_in(world, SOURCE) == texts_in(world, live)
    assert len(world.texts_of(SOURCE)) == world.vectors.count(live)


def test_a_row_that_nobody_announced_is_gone_before_the_switch() -> None:
    world = world_of()
    migration = world.start_at(Phase.VERIFICATION)
    target = world.now(migration).target_collection
    insert(world, "nobody's", target)
    world.deliver()
    world.settle()
    assert Status.COMPLETED is world.now(migration).status
    assert texts_in(world, SOURCE) == texts_in(world, target)


def test_a_row_inserted_too_late_by_a_dead_worker_is_gone_after_the_switch() -> None:
    world = world_of()
    migration = world.complete()
    live = world.bot.live.collection
    run = world.run_of(migration)
    chunk = world.services.vectors.fetch(run.source, [1])[0]
    world.store.intend(Mapped(SOURCE, live), [(1, digest_of(chunk, "pk"))])
    insert(world, "text 0", live)
    insert(world, "a user's own", live)
    sweep(world.services, world.now(migration))
    assert texts_in(world, live) == texts_in(world, SOURCE) + Counter(["a user's own"])


def test_late_writes_reach_the_live_collection_under_keys_of_its_own() -> None:
    world = world_of()
    migration = world.complete()
    insert(world, "a straggler", SOURCE)
    world.vectors.remove(SOURCE, 2)
    result = sweep(world.services, world.now(migration))
    assert (1, 1, 0) == (result.applied, result.deleted, result.conflicts)
    assert texts_in(world, SOURCE) == texts_in(world, world.bot.live.collection)


def test_a_deletion_that_did_not_last_shows_as_a_key_that_stands_twice() -> None:
    world = world_of()
    migration = world.complete()
    run = world.run_of(migration)
    stored = keys_of(world, migration)[1]
    before = world.vectors._collections[run.target.name].rows[stored]
    chunk = world.services.vectors.fetch(run.target, [1], with_vectors=True)[0]
    world.services.vectors.upsert(run.target, [chunk], chunk.vector[None, :])
    world.vectors._collections[run.target.name].rows[stored] = before  # back again
    assert [1, 1] == [c.key for c in world.services.vectors.fetch_rows(run.target, [1])]
    world.services.vectors.delete(run.target, [1])
    assert [] == world.services.vectors.fetch_rows(run.target, [1])


def test_strangers_are_told_by_keys_below_zero_and_can_be_deleted_by_them() -> None:
    world = world_of()
    migration = world.complete()
    run = world.run_of(migration)
    insert(world, "a user's own", run.target.name)
    vectors = world.services.vectors
    pages = list(vectors.scan(run.target, STRANGERS))
    keys = [chunk.key for page in pages for chunk in page]
    assert ["a user's own"] == [c.fields["text"] for page in pages for c in page]
    assert keys == [chunk.key for chunk in vectors.fetch(run.target, keys)]
    vectors.delete(run.target, keys)
    assert [] == list(vectors.scan(run.target, STRANGERS))


def test_an_undone_run_forgets_its_map_with_its_target() -> None:
    world = World(12, {"hold_hours": 0}, key_of=lambda i: i + 1, keys_are_given=True)
    migration = world.start_at(Phase.VERIFICATION)
    assert keys_of(world, migration)
    world.system.rollback(OWNER, migration.id)
    world.deliver()
    assert Status.ROLLED_BACK is world.now(migration).status
    assert {} == keys_of(world, migration)


def test_a_held_target_is_taken_over_with_its_map_and_paid_for_once() -> None:
    world = world_of(settings={"hold_hours": 24})
    first = world.start_at(Phase.VERIFICATION)
    world.system.rollback(OWNER, first.id)
    world.deliver()
    insert(world, "came since", SOURCE)
    world.vectors.remove(SOURCE, 2)
    paid = Counter(world.embedders.embedded)
    second = world.complete()
    live = world.bot.live.collection
    assert (Status.COMPLETED, first.target_collection) == (second.status, live)
    assert texts_in(world, SOURCE) == texts_in(world, live)
    again = world.embedders.embedded - paid
    of_verification = 1
    assert again[(LARGE.model, "text 5")] <= of_verification
    assert world.vectors.count(live) == len(world.texts_of(SOURCE))
