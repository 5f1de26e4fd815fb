"""A schema that is altered during a run is noticed before the switch."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.model.runs import Migration
from migrations.model.states import Status
from tests.fakes.world import OWNER, SOURCE, World

FIELDS = {"fields": [{"name": name} for name in ("pk", "text", "vector", "new")]}
PROPERTIES = {"properties": {"mmap.enabled": "true"}}


def altered(before: str, members: dict[str, Any], **changes: Any) -> Migration:
    world = World()
    migration = world.start(**changes)
    world.deliver(before=before)
    world.vectors.alter(SOURCE, **members)
    world.settle()
    assert SOURCE == world.bot.live.collection
    assert [SOURCE] == world.vectors.names()
    return world.now(migration)


@pytest.mark.parametrize("members", [FIELDS, PROPERTIES, {"functions": ["bm25"]}])
@pytest.mark.parametrize("phase", ["verification", "finalization"])
def test_a_source_that_is_altered_is_not_switched_from(phase: str, members: dict[str, Any]) -> None:
    migration = altered(f"migrations.phase.{phase}", members)
    assert Status.ROLLED_BACK is migration.status
    error = migration.error or {}
    assert "verification-failed" == error["code"]
    assert "no longer the one that was copied" in error["message"]
    assert next(iter(members)) in error["message"]


def test_it_is_noticed_where_nothing_else_is_verified() -> None:
    migration = altered("migrations.phase.finalization", FIELDS, verify_migration=False)
    assert Status.ROLLED_BACK is migration.status


@pytest.mark.parametrize(
    ("members", "status"), [(FIELDS, Status.ROLLED_BACK), (PROPERTIES, Status.COMPLETED)]
)
def test_the_way_back_is_barred_by_a_new_column_and_by_no_property(
    members: dict[str, Any], status: Status
) -> None:
    world = World()
    migration = world.complete()
    world.vectors.alter(migration.target_collection, **members)
    started = world.system.rollback(OWNER, migration.id)
    world.settle()
    assert status is world.now(started.migration).status
    assert (SOURCE == world.bot.live.collection) == (status is Status.COMPLETED)
