"""Who may register what: an admin anything, others what an admin has granted their owner."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devstack.provider import vector_for
from migrations.bots.grants import Grants
from migrations.model.access import Grant
from migrations.model.bots import Bot, Caller
from migrations.model.errors import CollectionNotFound, CollectionNotGranted, NameInvalid
from migrations.model.requests import BotRegistration
from tests.fakes.embedders import SMALL
from tests.fakes.world import ADMIN, World

ROWS = [{"pk": "a", "text": "ape", "vector": vector_for("small", "ape", SMALL.dimension)}]
KEEPER = Caller("keeper")


@pytest.fixture
def world() -> World:
    """With a collection, ``zoo_apes``, which has an alias, ``exhibit``."""
    world = World()
    world.vectors.seed("zoo_apes", ROWS, SMALL.dimension, "exhibit")
    return world


def register(
    world: World, collection: str = "zoo_apes", alias: str | None = None, caller: Caller = KEEPER
) -> Bot:
    wish = BotRegistration("apes", collection, "fake", "small", alias=alias)
    return world.system.register_bot(caller, wish)


def grant(world: World, *patterns: str, owner: str = KEEPER.owner) -> None:
    for pattern in patterns:
        Grants(world.store).grant(owner, pattern, by=ADMIN.owner)


@pytest.mark.parametrize("pattern", ["zoo_apes", "zoo_*", "zoo_ape?", "*", "zoo_[a-c]*"])
def test_a_granted_collection_is_registered(world: World, pattern: str) -> None:
    grant(world, pattern)
    assert KEEPER.owner == register(world).owner


@pytest.mark.parametrize(
    ("pattern", "name", "covers"),
    [
        ("sales.*", "sales.docs", True),
        ("sa*.docs", "sales.docs", True),
        ("*.*", "sales.docs", True),
        ("sales.docs", "sales.docs", True),
        ("*", "sales.docs", False),
        ("sales*", "sales.docs", False),
        ("sales.*", "other.docs", False),
        ("sales.*", "sales", False),
        ("*.docs", "docs", False),
    ],
)
def test_a_pattern_that_names_no_database_covers_nothing_in_others(
    pattern: str, name: str, covers: bool
) -> None:
    grant = Grant(1, "keeper", pattern, "boss", datetime(2026, 11, 3, tzinfo=UTC))
    assert covers == grant.covers(name)


@pytest.mark.parametrize("patterns", [[], ["zoo"], ["ZOO_*"], ["zoo_apes_*"], ["apes"]])
def test_a_collection_that_is_not_granted_is_refused(world: World, patterns: list[str]) -> None:
    grant(world, *patterns)
    with pytest.raises(CollectionNotGranted):
        register(world)
    assert ["bot"] == [bot.bot_id for bot in world.store.bots()]


def test_an_admin_needs_no_grant(world: World) -> None:
    assert ADMIN.owner == register(world, caller=ADMIN).owner


def test_a_grant_is_its_owners_alone(world: World) -> None:
    grant(world, "*", owner="somebody")
    with pytest.raises(CollectionNotGranted):
        register(world)


def test_a_grant_taken_back_holds_no_more_and_its_bots_stay(world: World) -> None:
    grant(world, "zoo_*")
    bot = register(world)
    grants = Grants(world.store)
    (given,) = (one for one in grants.all() if one.owner == KEEPER.owner)
    grants.revoke(given.id)
    assert [bot] == world.system.bots(KEEPER)
    world.vectors.seed("zoo_bears", ROWS, SMALL.dimension)
    with pytest.raises(CollectionNotGranted):
        register(world, "zoo_bears")


@pytest.mark.parametrize(
    ("patterns", "may"),
    [
        (["exhibit"], False),
        (["zoo_apes"], False),
        (["exhibit", "zoo_apes"], True),
        (["*[bs]*t*", "zoo*"], True),
    ],
)
def test_no_alias_leads_around_what_was_granted(
    world: World, patterns: list[str], may: bool
) -> None:
    grant(world, *patterns)
    if may:
        assert "exhibit" == register(world, "exhibit").alias
    else:
        with pytest.raises(CollectionNotGranted) as refused:
            register(world, "exhibit")
        assert "zoo_apes" not in refused.value.message


@pytest.mark.parametrize(("alias", "may"), [("zoo_apes_live", True), ("payroll_live", False)])
def test_an_alias_of_another_name_than_the_collections_must_be_granted_too(
    world: World, alias: str, may: bool
) -> None:
    grant(world, "zoo_apes")
    if may:
        assert alias == register(world, alias=alias).alias
    else:
        with pytest.raises(CollectionNotGranted):
            register(world, alias=alias)
        grant(world, "payroll*")
        assert alias == register(world, alias=alias).alias


def test_who_has_no_grant_is_not_told_which_collections_there_are(world: World) -> None:
    said = set()
    for name in ("zoo_apes", "nothing"):
        with pytest.raises(CollectionNotGranted) as refused:
            register(world, name)
        said.add(refused.value.message)
    assert 1 == len(said)
    grant(world, "*")
    with pytest.raises(CollectionNotFound):
        register(world, "nothing")


@pytest.mark.parametrize(
    ("owner", "pattern"),
    [
        ("", "zoo"),
        (" keeper", "zoo"),
        ("kee\x1b[31mper", "zoo"),
        ("kee\u200bper", "zoo"),
        ("k" * 101, "zoo"),
        ("keeper", ""),
        ("keeper", "zoo apes"),
        ("keeper", "zoo\n"),
        ("keeper", "zoö"),
        ("keeper", "z" * 256),
    ],
)
def test_an_owner_or_pattern_that_nobody_can_read_is_refused(
    world: World, owner: str, pattern: str
) -> None:
    before = world.store.grants()
    with pytest.raises(NameInvalid):
        grant(world, pattern, owner=owner)
    assert before == world.store.grants()
