"""Canaries ask the live collection after the switch, and warn or take the run back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from migrations.model.errors import ProviderUnavailable
from migrations.model.golden import GoldenQuery
from migrations.model.runs import Migration
from migrations.model.states import Kind, Status
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import OWNER, SOURCE, World


def switched(world: World | None = None, **wish: Any) -> tuple[World, Migration]:
    world = world or World(12)
    return world, world.complete(**wish)


def ruin(world: World) -> None:
    """All vectors of the live collection become those of other texts."""
    rows = world.vectors._held(world.bot.live.collection).rows
    vectors = [row.vector for row in rows.values()]
    for (key, row), vector in zip(list(rows.items()), np.roll(vectors, 5, axis=0), strict=True):
        rows[key] = row._replace(vector=-vector)


def asked(world: World, migration: Migration) -> list[str]:
    return world.system.ask_canaries(migration.id)


def told(world: World, migration: Migration) -> list[str]:
    return [w for w in world.now(migration).warnings if w.startswith("After the switch:")]


def test_a_collection_that_answers_as_verified_is_no_news() -> None:
    world, migration = switched()
    assert [] == asked(world, migration) == told(world, migration)


def test_one_that_answers_worse_is_warned_of_once_with_what_was_found_last() -> None:
    world, migration = switched(World(12, {"recall_at": 1}))
    ruin(world)
    (sentence,) = asked(world, migration)
    assert "0% of 12 chunks that are asked for by their own text are found" in sentence
    asked(world, migration)
    (warning,) = told(world, migration)
    assert "verification had found 100%, and at least 90% is wanted" in warning
    assert LARGE.model == world.bot.live.embedding.model


def test_where_the_run_allows_it_a_breach_takes_it_back() -> None:
    world, migration = switched(World(12, {"recall_at": 1}), rollback_on_breach=True)
    ruin(world)
    asked(world, migration)
    assert Kind.REVERSE is world.store.live("bot").kind
    asked(world, migration)  # again while that is under way: nothing more
    world.deliver()
    assert SMALL == world.bot.live.embedding
    assert [] == asked(world, migration), "its collection is not live any more"


def late(world: World) -> None:
    world.clock.sleep(timedelta(hours=2).total_seconds())


def never(world: World) -> None:
    object.__setattr__(world.services.settings, "canary_hours", 0)


def silent(world: World) -> None:
    world.embedders.fail(ProviderUnavailable("down"), times=99)


@pytest.mark.parametrize("when", [late, never, silent])
def test_nothing_is_said_when_it_is_not_the_time_or_nobody_answers(
    when: Callable[[World], None],
) -> None:
    world, migration = switched(World(12, {"recall_at": 1}))
    ruin(world)
    when(world)
    assert [] == asked(world, migration) == told(world, migration)


def test_a_way_back_is_not_asked_about() -> None:
    world, migration = switched(World(12, {"recall_at": 1}))
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver()
    assert Status.COMPLETED is world.now(back).status
    assert SOURCE == world.bot.live.collection
    ruin(world)
    assert [] == asked(world, back)


def test_golden_queries_that_name_what_is_relevant_are_asked_too() -> None:
    world = World(12, {"recall_at": 1})
    queries = [GoldenQuery(id="q", text="text 3", relevant=("k003",))]
    world.store.set_golden_queries("bot", queries)
    world, migration = switched(world)
    ruin(world)
    assert 2 == len(asked(world, migration))


def test_what_canaries_cost_is_in_the_ledger_of_the_bot() -> None:
    world, migration = switched()
    before = world.store.tokens_used(migration.id)
    texts = world.embedders.texts
    asked(world, migration)
    assert 12 == world.embedders.texts - texts
    assert before == world.store.tokens_used(migration.id)


def test_each_due_sweep_asks() -> None:
    world, migration = switched(World(12, {"recall_at": 1}))
    ruin(world)
    assert world.system.sweep(migration.id) is not None
    assert 1 == len(told(world, migration))
