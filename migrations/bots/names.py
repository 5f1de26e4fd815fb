"""A collection's name becomes the alias, so that whoever opens it by name follows the switch.

An application that names the collection itself, not an alias, would stay with the old one.
So the collection gets another name, and its own becomes the alias: two calls, one after the
other, between which nobody finds it. The way back is the same in the other order.
"""

from __future__ import annotations

import structlog

from migrations.model.bots import Bot
from migrations.model.collection_names import can_be_made
from migrations.model.errors import InvalidConfiguration, MigrationInProgress
from migrations.process.services import Services

log = structlog.get_logger(__name__)


def adopted(name: str) -> str:
    """What a collection is called once its name is an alias."""
    return f"{name}_v1"


def require_adoptable(services: Services, name: str) -> None:
    """Raises InvalidConfiguration."""
    renamed = adopted(name)
    if not can_be_made(renamed):
        raise InvalidConfiguration(f"Milvus takes no collection called {renamed!r}.")
    if services.vectors.exists(renamed):
        raise InvalidConfiguration(
            f"The collection would be called {renamed!r} from then on, but there is one of that "
            "name. Rename that one, or register with an alias of another name."
        )


def adopt_name(services: Services, name: str) -> str:
    """Rename the collection and point an alias of its name to it; what it is called then.

    Raises VectorStoreUnavailable, VectorStoreRefused; between its two calls too, which asking
    once more puts right.
    """
    renamed = adopted(name)
    services.vectors.rename(name, renamed)
    services.vectors.point_alias(name, renamed)
    log.info("name_adopted", alias=name, collection=renamed)
    return renamed


def finish_adopting(services: Services, name: str) -> None:
    """What an attempt that died between its two calls has left to do, if there was one."""
    vectors, renamed = services.vectors, adopted(name)
    if not vectors.exists(name) and vectors.exists(renamed):
        vectors.point_alias(name, renamed)


def give_back_name(services: Services, bot: Bot) -> None:
    """Call the live collection by its bot's alias, which is an alias no more.

    What was done before is not done again.

    Raises:
        MigrationInProgress; VectorStoreUnavailable, VectorStoreRefused, CollectionNotFound.
    """
    live = services.store.live(bot.bot_id)
    if live is not None:
        raise MigrationInProgress.of(live.id, live.status)
    vectors, alias, collection = services.vectors, bot.alias, bot.live.collection
    if vectors.resolve_alias(alias) is not None:
        vectors.drop_alias(alias)
    if not vectors.exists(alias):
        vectors.rename(collection, alias)
    log.info("name_given_back", collection=alias, was=collection)
