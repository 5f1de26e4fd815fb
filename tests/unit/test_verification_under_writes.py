"""Verification while somebody writes to the source: fresh writes are no losses, losses are."""

from __future__ import annotations

from migrations.model.chunks import Chunk, CollectionSchema, Vectors
from migrations.model.states import Phase, Status
from tests.fakes.embedders import LARGE
from tests.fakes.world import World


def test_what_was_written_before_verification_is_caught_up_and_no_fault() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.write("k003", "written late")
    world.write("new", "written late too")
    world.vectors.remove("source", "k004")
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    texts = world.texts_of(migration.target_collection)
    assert ("written late", "written late too") == (texts["k003"], texts["new"])
    assert "k004" not in texts
    assert [] == world.wrongly_embedded(migration.target_collection, LARGE)


def test_what_is_written_while_verification_looks_again_is_left_to_the_last_catching_up() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.write("k003", "written late")
    with world.at("catch_up.before_apply", lambda: world.write("a first", "written meanwhile")):
        world.settle()
    done = world.now(migration)
    assert Status.COMPLETED == done.status
    assert "written meanwhile" == world.texts_of(migration.target_collection)["a first"]
    content = next(c for c in (done.verification or {})["checks"] if c["name"] == "content")
    assert 1 == content["details"]["written_meanwhile"]


def test_a_target_that_does_not_keep_what_it_is_given_is_found_under_writes_too() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    target, upsert = migration.target_collection, world.vectors.upsert

    def forgetful(schema: CollectionSchema, chunks: list[Chunk], vectors: Vectors) -> None:
        upsert(schema, chunks, vectors)
        world.vectors.remove(target, "k003")

    world.vectors.upsert = forgetful  # type: ignore[method-assign,assignment]
    world.vectors.remove(target, "k003")
    world.write("k005", "written late")
    world.settle()
    failed = world.now(migration)
    assert Status.ROLLED_BACK == failed.status
    assert "1 missing, 0 different, 0 too many" in (failed.error or {})["message"]
