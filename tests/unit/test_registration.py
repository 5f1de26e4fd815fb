"""Taking a collection under our care: found by introspection, refused with a sentence."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from devstack.provider import vector_for
from migrations.model.bots import Bot
from migrations.model.errors import (
    BotExists,
    CollectionNotFound,
    CollectionUnsupported,
    InvalidConfiguration,
    UnknownProvider,
)
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.runs import target_name
from migrations.model.texts import FieldRecipe, TemplateRecipe
from migrations.target.rehearsal import scratch_name
from tests.fakes.embedders import SMALL
from tests.fakes.world import OWNER, World

ROWS = [{"pk": "a", "text": "ape", "vector": vector_for("small", "ape", SMALL.dimension)}]


def register(world: World, collection: str = "zoo", **wish: Any) -> Bot:
    wish = {"provider": "fake", "model": "small", **wish}
    return world.system.register_bot(OWNER, BotRegistration("zoo", collection, **wish))


TITLE = FieldRecipe(field="title")
COLUMNS_ONLY = {
    "enable_dynamic_field": False,
    "fields": [{"name": name} for name in ("pk", "text", "vector")],
}


def with_zoo(alias: str | None = None, **schema: Any) -> World:
    world = World()
    world.vectors.seed("zoo", ROWS, SMALL.dimension, alias, **schema)
    return world


def test_fields_and_dimension_are_found_by_introspection() -> None:
    bot = register(with_zoo())
    assert ("pk", "the text field 'text'", "vector", SMALL, 1) == (
        bot.key_field,
        str(bot.recipe),
        bot.vector_field,
        bot.live.embedding,
        bot.live.generation,
    )
    assert OWNER.owner == bot.owner


def test_a_physical_collection_gets_an_alias() -> None:
    world = with_zoo()
    assert "zoo_live" == register(world).alias
    assert "zoo" == world.vectors.resolve_alias("zoo_live")


def test_names_in_another_database_are_qualified_alike() -> None:
    world = World()
    world.store.add_grant(OWNER.owner, "sales.*", by="boss")
    world.vectors.seed("sales.zoo", ROWS, SMALL.dimension)
    bot = register(world, "sales.zoo")
    assert ("sales.zoo_live", "sales.zoo") == (bot.alias, bot.live.collection)
    started = world.system.start_migration(OWNER, StartRequest("zoo", "fake", "large")).migration
    assert started.target_collection.startswith("sales.zoo_live__g2_")
    assert "sales.zoo_live__tried" == scratch_name(bot)


@pytest.mark.parametrize(
    ("collection", "alias", "sentence"),
    [
        ("sales.zoo", "animals", "state the alias 'sales.<name>'"),
        ("sales.zoo", "other.animals", "state the alias 'sales.<name>'"),
        ("zoo", "sales.animals", "state the alias without a database"),
        ("sales.zoo", "sales.no-name", "cannot be made an alias"),
    ],
)
def test_an_alias_in_another_database_than_its_collection_is_refused(
    collection: str, alias: str, sentence: str
) -> None:
    world = World()
    world.store.add_grant(OWNER.owner, "*.*", by="boss")
    world.vectors.seed(collection, ROWS, SMALL.dimension)
    with pytest.raises(InvalidConfiguration, match=sentence):
        register(world, collection, alias=alias)


def test_a_long_name_is_cut_and_its_database_is_not() -> None:
    database = "d" * 220
    name = target_name(f"{database}.{'a' * 250}", 2, UUID(int=0))
    assert f"{database}.{'a' * 200}__g2_00000000" == name


def test_a_collection_named_by_its_alias_keeps_it() -> None:
    bot = register(with_zoo("menagerie"), "menagerie")
    assert ("menagerie", "zoo") == (bot.alias, bot.live.collection)


def test_an_alias_of_ones_own_can_be_asked_for() -> None:
    world = with_zoo()
    register(world, alias="animals")
    assert "zoo" == world.vectors.resolve_alias("animals")


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"alias": "live"}, "points to another collection. Choose another alias"),
        ({"alias": "source"}, "an alias needs a name of its own"),
        ({"alias": "al/x"}, "'al/x' cannot be made an alias: Milvus takes up to 255"),
        ({"alias": "support-bot"}, "cannot be made an alias"),
        ({"alias": "1alias"}, "no digit first. State another one as alias"),
        ({"alias": "a" * 256}, "cannot be made an alias"),
        ({"alias": "live\n"}, "cannot be made an alias"),
        ({"dimension": 9}, "holds 8 dimensions, not 9"),
        ({"recipe": FieldRecipe(field="title")}, "no text field 'title'; it has: text"),
        ({"recipe": FieldRecipe(field="meta.text")}, "no text field 'meta'; it has: text"),
        ({"recipe": TemplateRecipe(template="{text} {x}")}, "no text field 'x'"),
        ({"vector_field": "other"}, "no float vector field 'other'; it has 'vector'"),
    ],
)
def test_a_wish_the_collection_contradicts_is_refused(wish: dict[str, Any], sentence: str) -> None:
    world = with_zoo(description=COLUMNS_ONLY)
    with pytest.raises(InvalidConfiguration, match=sentence):
        register(world, **wish)
    assert ["bot"] == [bot.bot_id for bot in world.store.bots()]


def test_one_of_several_vectors_must_be_named() -> None:
    world = with_zoo(float_vectors=("image", "vector"), vector_field="vector")
    with pytest.raises(
        InvalidConfiguration, match=r"vector fields: 'image', 'vector'\. State the one"
    ):
        register(world)
    assert "vector" == register(world, vector_field="vector").vector_field


def test_a_collection_whose_name_gives_no_alias_asks_for_one() -> None:
    world = World()
    world.vectors.seed("my-zoo", ROWS, SMALL.dimension)
    with pytest.raises(InvalidConfiguration, match="'my-zoo_live' cannot be made an alias"):
        register(world, "my-zoo")
    assert "zoo_live" == register(world, "my-zoo", alias="zoo_live").alias


def test_an_alias_that_is_there_is_taken_as_it_is() -> None:
    assert "my-alias" == register(with_zoo("my-alias"), alias="my-alias").alias


def test_a_dimension_the_model_cannot_give_is_refused() -> None:
    world = World()
    world.vectors.seed("zoo", [{"pk": "a", "text": "ape"}], 9)
    with pytest.raises(InvalidConfiguration, match="cannot give 9 dimensions"):
        register(world)


def test_a_collection_that_is_not_there_is_refused() -> None:
    with pytest.raises(CollectionNotFound):
        register(World())


def test_an_unsupported_collection_is_refused_with_its_reasons() -> None:
    with pytest.raises(CollectionUnsupported, match="two vector fields"):
        register(with_zoo(unsupported=("It has two vector fields.",)))


def test_a_collection_without_any_text_is_refused() -> None:
    world = World()
    rows = [{"pk": f"k{i}", "text": None, "page": i} for i in range(12)]
    world.vectors.seed("zoo", rows, SMALL.dimension, text_candidates=())
    with pytest.raises(InvalidConfiguration, match="No row of the collection holds a text"):
        register(world)


def test_a_member_of_the_dynamic_field_can_be_stated() -> None:
    world = World()
    rows = [{"pk": f"k{i}", "text": "x", "title": f"title {i}"} for i in range(12)]
    world.vectors.seed("zoo", rows, SMALL.dimension)
    calls = world.embedders.calls
    assert "the text field 'title'" == str(register(world, recipe=TITLE).recipe)
    assert calls == world.embedders.calls, "whether it was embedded is validation's to say"


def test_a_text_that_no_row_has_is_refused_where_rows_can_be_read() -> None:
    world = with_zoo()
    with pytest.raises(InvalidConfiguration, match="rows from all over the collection has the te"):
        register(world, recipe=TITLE)
    world.vectors.release("zoo")
    assert TITLE == register(world, recipe=TITLE).recipe


def test_an_unknown_provider_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(UnknownProvider, match="fake, local, openai"):
        register(with_zoo(), provider="nobody")


def test_a_bot_is_registered_once() -> None:
    world = with_zoo()
    register(world)
    with pytest.raises(BotExists):
        register(world)


def test_a_collection_belongs_to_one_bot() -> None:
    world = with_zoo()
    register(world)
    with pytest.raises(BotExists):
        world.system.register_bot(OWNER, BotRegistration("zoo2", "zoo", "fake", "small", alias="z"))
