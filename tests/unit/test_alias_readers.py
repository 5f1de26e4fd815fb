"""Who embeds by the alias and searches by it has the vector of the collection it searches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migrations.lifecycle.forward import switched_bot
from migrations.model.bots import AliasBehind, Caller
from migrations.model.errors import (
    AliasMoves,
    BotNotFound,
    DimensionNotLive,
    NoAnswer,
    VectorStoreUnavailable,
)
from migrations.model.states import Phase
from migrations.readers.by_alias import AliasReaders, Kind, alias_stays
from migrations.readers.question import Spending
from migrations.target import alias
from tests.fakes.embedders import LARGE, SMALL, vector_in
from tests.fakes.world import ALIAS, OWNER, SOURCE, World, kill


def readers_of(world: World) -> AliasReaders:
    return AliasReaders(world.services, Spending(world.services))


def model_of(world: World, *texts: str) -> str:
    given = readers_of(world).embed(OWNER, ALIAS, Kind.QUERY, texts or ("where?",))
    expected = vector_in(given.embedding, (texts or ("where?",))[0])
    assert (given.vectors[0] == expected).all()
    return given.embedding.model


def switched_without_alias(**settings: Any) -> World:
    """A run has switched, and its worker died before it touched the alias."""
    world = World(settings=settings)
    world.start_at(Phase.FINALIZATION)
    with world.at("finalization.after_switch", kill):
        world.work(world.pending().pop())
    assert 2 == world.bot.live.generation
    assert SOURCE == world.vectors.resolve_alias(ALIAS)
    return world


def test_before_and_after_a_switch_it_is_the_live_model() -> None:
    world = World()
    assert SMALL.model == model_of(world)
    world.complete()
    assert (LARGE.model, None) == (model_of(world), world.bot.alias_behind)


def test_after_the_switch_it_is_the_old_model_until_the_alias_is_moved() -> None:
    world = switched_without_alias()
    assert AliasBehind(SOURCE) == world.bot.alias_behind
    assert SMALL.model == model_of(world)
    world.settle()
    assert LARGE.model == model_of(world)


def test_while_the_alias_is_moved_nobody_is_given_a_vector() -> None:
    world = switched_without_alias()
    seen: list[bool] = []

    def look() -> None:
        with pytest.raises(AliasMoves):
            model_of(world)
        seen.append(alias_stays(world.bot))

    world.vectors.before("point_alias", look)
    world.settle()
    assert [False] == seen
    assert alias_stays(world.bot)


def test_the_alias_stays_for_the_drain_once_nobody_is_given_its_model() -> None:
    world = switched_without_alias(alias_drain_seconds=0.5)
    begun = world.clock.monotonic()
    moved: list[float] = []
    world.vectors.before("point_alias", lambda: moved.append(world.clock.monotonic()))
    alias.reconcile(world.services, "bot")
    assert moved[0] - begun >= 0.5


def test_a_vector_that_came_back_after_the_alias_had_moved_is_not_given() -> None:
    world = switched_without_alias()
    world.embedders.on_embed = lambda _: _once(world)
    assert LARGE.model == model_of(world)


def _once(world: World) -> None:
    world.embedders.on_embed = None
    alias.reconcile(world.services, "bot")


def test_an_alias_that_moves_for_too_long_is_asked_where_it_points() -> None:
    world = switched_without_alias()
    live = world.bot.live.collection
    world.store.alias_moves("bot", live, SOURCE)
    world.clock.sleep(world.services.settings.alias_hold_seconds)
    assert SMALL.model == model_of(world)
    world.vectors.point_alias(ALIAS, live)
    assert LARGE.model == model_of(world)


def test_an_alias_that_cannot_be_asked_for_is_told_as_such() -> None:
    world = switched_without_alias()
    world.store.alias_moves("bot", world.bot.live.collection, SOURCE)
    world.clock.sleep(60)
    world.vectors.fail("resolve_alias", VectorStoreUnavailable())
    with pytest.raises((VectorStoreUnavailable, NoAnswer)):
        model_of(world)


def test_an_alias_that_somebody_has_pointed_elsewhere_gives_nothing() -> None:
    world = World()
    world.store.alias_moves("bot", world.bot.live.collection, "somewhere")
    world.clock.sleep(60)
    world.vectors.seed("somewhere", [], 8)
    world.vectors.point_alias(ALIAS, "somewhere")
    with pytest.raises(AliasMoves):
        model_of(world)
    alias.reconcile(world.services, "bot")
    assert SMALL.model == model_of(world)


def test_what_a_dead_worker_has_moved_is_noted_by_whoever_looks_next() -> None:
    world = switched_without_alias()
    world.vectors.point_alias(ALIAS, world.bot.live.collection)
    alias.reconcile(world.services, "bot")
    assert None is world.bot.alias_behind


def test_a_switch_back_to_where_the_alias_still_points_finds_it_there() -> None:
    world = switched_without_alias()
    switch = world.store.latest("bot")
    assert switch is not None
    back = replace(switch, source_collection=switch.target_collection, target_collection=SOURCE)
    assert None is switched_bot(world.bot, back, world.services.now(), 72).alias_behind


def test_a_dimension_that_was_asked_for_is_the_live_one_or_refused() -> None:
    world = World()
    readers = readers_of(world)
    assert 8 == readers.embed(OWNER, ALIAS, Kind.PASSAGE, ["a"], 8).vectors.shape[1]
    with pytest.raises(DimensionNotLive):
        readers.embed(OWNER, ALIAS, Kind.PASSAGE, ["a"], 16)
    world.complete()
    assert 16 == readers.embed(OWNER, ALIAS, Kind.PASSAGE, ["a"], 16).vectors.shape[1]


def test_nobody_elses_alias_is_known() -> None:
    world = World()
    for caller, name in ((Caller("rival"), ALIAS), (OWNER, "nothing")):
        with pytest.raises(BotNotFound):
            readers_of(world).embed(caller, name, Kind.QUERY, ["a"])


def test_what_readers_ask_is_paid_and_takes_the_turns_of_queries() -> None:
    world = World()
    spending = Spending(world.services)
    AliasReaders(world.services, spending).embed(OWNER, ALIAS, Kind.QUERY, ["a question"])
    spending.flush()
    assert world.store.tokens_of_errands("bot") > 0
