"""A collection's name becomes the alias, and is given back."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.model.bots import Bot
from migrations.model.errors import (
    BotExists,
    BotNotFound,
    InvalidConfiguration,
    MigrationInProgress,
    VectorStoreUnavailable,
)
from migrations.model.requests import BotRegistration
from migrations.model.texts import FieldRecipe
from tests.fakes.embedders import SMALL
from tests.fakes.world import OWNER, World, row_of


@pytest.fixture
def world() -> World:
    world = World()
    world.vectors.seed("app", [row_of("k", "a text", SMALL)], SMALL.dimension)
    return world


def register(world: World, bot_id: str = "app", name: str = "app", **more: Any) -> Bot:
    wish = BotRegistration(
        bot_id, name, SMALL.provider, SMALL.model, recipe=FieldRecipe(field="text"), **more
    )
    return world.system.register_bot(OWNER, wish)


def test_the_collection_is_found_by_its_name_as_before_and_is_called_otherwise(
    world: World,
) -> None:
    bot = register(world, adopt_name=True)
    assert ("app", "app_v1") == (bot.alias, bot.live.collection)
    assert "app_v1" == world.vectors.resolve_alias("app")
    assert {"k": "a text"} == world.texts_of("app")


def test_its_own_name_comes_back_with_the_removal_of_the_bot(world: World) -> None:
    register(world, adopt_name=True)
    world.system.remove_bot(OWNER, "app", with_name=True)
    assert world.vectors.resolve_alias("app") is None
    assert {"k": "a text"} == world.texts_of("app")
    assert "app_v1" not in world.vectors.names()


def test_a_name_is_adopted_and_given_back_within_its_database(world: World) -> None:
    world.store.add_grant(OWNER.owner, "sales.*", by="boss")
    world.vectors.seed("sales.app", [row_of("k", "sold", SMALL)], SMALL.dimension)
    bot = register(world, name="sales.app", adopt_name=True)
    assert ("sales.app", "sales.app_v1") == (bot.alias, bot.live.collection)
    assert world.vectors.resolve_alias("app") is None
    world.system.remove_bot(OWNER, "app", with_name=True)
    assert ("sold", "a text") == tuple(world.texts_of(n)["k"] for n in ("sales.app", "app"))


def test_a_taken_name_is_refused_before_anything_is_touched(world: World) -> None:
    world.vectors.seed("app_v1", [row_of("k", "others'", SMALL)], SMALL.dimension)
    with pytest.raises(InvalidConfiguration, match="'app_v1'"):
        register(world, adopt_name=True)
    assert {"k": "a text"} == world.texts_of("app")


def test_another_alias_beside_is_refused(world: World) -> None:
    with pytest.raises(InvalidConfiguration, match="state none"):
        register(world, adopt_name=True, alias="other")


def test_the_name_comes_back_when_the_bot_cannot_be_recorded(world: World) -> None:
    with pytest.raises(BotExists):
        register(world, "bot", adopt_name=True)
    assert world.vectors.resolve_alias("app") is None
    assert {"k": "a text"} == world.texts_of("app")


def test_an_attempt_that_died_in_between_is_finished_by_the_next(world: World) -> None:
    world.vectors.fail("point_alias", VectorStoreUnavailable("gone"))
    with pytest.raises(VectorStoreUnavailable):
        register(world, adopt_name=True)
    bot = register(world, adopt_name=True)
    assert ("app", "app_v1") == (bot.alias, bot.live.collection)


@pytest.mark.parametrize("method", ["drop_alias", "rename"])
def test_giving_back_can_be_asked_for_once_more(
    world: World, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(world, adopt_name=True)
    inner, times = getattr(world.vectors, method), []

    def failing(*arguments: Any) -> None:
        times.append(1)
        if len(times) == 1:
            raise VectorStoreUnavailable("gone")
        inner(*arguments)

    monkeypatch.setattr(world.vectors, method, failing)
    with pytest.raises(VectorStoreUnavailable):
        world.system.remove_bot(OWNER, "app", with_name=True)
    world.system.remove_bot(OWNER, "app", with_name=True)
    assert {"k": "a text"} == world.texts_of("app")
    with pytest.raises(BotNotFound):
        world.system.bot(OWNER, "app")


def test_a_name_is_not_given_back_while_a_migration_is_live(world: World) -> None:
    world.start()
    with pytest.raises(MigrationInProgress):
        world.system.remove_bot(OWNER, "bot", with_name=True)
    assert world.vectors.resolve_alias("live") is not None
