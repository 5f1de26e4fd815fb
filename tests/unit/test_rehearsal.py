"""The target's index may be another one; whether Milvus can make it is tried beforehand."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from migrations.model.config import TargetIndex
from migrations.model.errors import VectorStoreRefused
from migrations.model.states import Phase, Status
from migrations.watchdog import ORPHANS_EVERY_SECONDS
from tests.fakes.world import OWNER, SOURCE, World

PQ = TargetIndex(index_type="IVF_PQ", params={"m": 16, "nbits": 8, "exact": True})
REFUSAL = VectorStoreRefused("dimension must be able to be divided by `m`")
SCRATCH = "live__tried"


def index(kind: str, **params: str) -> dict[str, Any]:
    told = {"index_type": kind, "metric_type": "COSINE", **params}
    return {"index_name": "by_vector", "field_name": "vector", "params": told}


def with_index(kind: str, **params: str) -> World:
    world = World(settings={"hold_hours": 24})
    other = {"index_name": "by_text", "field_name": "text", "params": {"index_type": "INVERTED"}}
    world.vectors.alter(SOURCE, indexes=[other, index(kind, **params)])
    return world


def test_the_target_has_the_index_that_is_asked_for_and_the_next_run_starts_from_it() -> None:
    world = with_index("HNSW", M="8")
    migration = world.complete(index=PQ)
    target = world.vectors.describe(migration.target_collection)
    made = index("IVF_PQ", m="16", nbits="8", exact="true")
    assert [made] == [
        each for each in target.description["indexes"] if each["field_name"] == "vector"
    ]
    assert "INVERTED" in str(target.description["indexes"])
    assert Status.COMPLETED is world.now(migration).status
    world.system.rollback(OWNER, migration.id)
    world.settle()
    assert SOURCE == world.bot.live.collection


@pytest.mark.parametrize(
    ("kind", "asked", "tried"),
    [("HNSW", None, 0), ("HNSW", PQ, 1), ("IVF_PQ", None, 1), ("IVF_FLAT", None, 0)],
)
def test_what_may_not_fit_another_dimension_is_tried_and_dropped(
    kind: str, asked: TargetIndex | None, tried: int
) -> None:
    world = with_index(kind)
    report = world.manager.validate_change(OWNER, "bot", "fake", "large", index=asked).report
    assert report.passed
    assert tried == world.vectors.calls["create_like"]
    assert [SOURCE] == world.vectors.names()
    assert tried == sum(check.name == "target_schema" for check in report.checks)


def test_an_index_that_milvus_refuses_ends_at_validation_and_leaves_nothing() -> None:
    world = with_index("HNSW")
    world.vectors.fail("create_like", REFUSAL, times=2)
    report = world.manager.validate_change(OWNER, "bot", "fake", "large", index=PQ).report
    assert ["dimension must be able to be divided by `m`"] == [e.message for e in report.errors]
    migration = world.now(world.complete(index=PQ))
    assert ("validation-failed", Status.ROLLED_BACK) == (migration.error["code"], migration.status)  # type: ignore[index]
    assert [SOURCE] == world.vectors.names()


def test_a_collection_of_somebody_elses_with_that_name_is_left_alone() -> None:
    world = with_index("HNSW")
    world.vectors.seed(SCRATCH, [{"pk": "a", "text": "theirs"}], 8)
    report = world.manager.validate_change(OWNER, "bot", "fake", "large", index=PQ).report
    assert ["foreign-collection"] == [check.details["code"] for check in report.errors]
    assert {"a": "theirs"} == world.texts_of(SCRATCH)


def test_what_a_killed_process_has_left_is_dropped_by_the_next_and_by_the_watchdog() -> None:
    world = with_index("HNSW")
    migration = world.start_at(Phase.VALIDATION, index=PQ)
    again = partial(world.manager.validate_change, OWNER, "bot", "fake", "large", index=PQ)
    world.clock.sleep(ORPHANS_EVERY_SECONDS)
    for look in (again, world.watchdog.drop_orphans):
        world.vectors.create_like(world.vectors.describe(SOURCE), SCRATCH, 9, migration.tag)
        look()
        assert [SOURCE] == world.vectors.names()


def test_the_target_is_judged_by_the_searches_that_its_readers_send() -> None:
    world = with_index("HNSW")
    migration = world.start(index=PQ.model_copy(update={"search": {"nprobe": 9}}))
    world.deliver(before="migrations.phase.verification")
    run = world.run_of(migration)
    assert ({}, {"nprobe": 9}) == (run.source.search_params, run.target.search_params)


def test_a_kept_target_with_another_index_is_not_taken_over() -> None:
    world = with_index("HNSW")
    first = world.start(index=PQ)
    world.deliver(before="migrations.phase.verification")
    world.system.cancel(OWNER, "bot")
    world.settle()
    assert [first.target_collection] == [k.collection for k in world.store.kept_of("bot")]
    assert world.start().target_collection != first.target_collection
