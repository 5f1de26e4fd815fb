"""The alias is a projection of the bot's row: read what is wanted, set it, check it."""

from __future__ import annotations

import structlog

from migrations.model.bots import Bot
from migrations.model.errors import VectorStoreUnavailable
from migrations.process.services import Services

log = structlog.get_logger(__name__)


def follow(services: Services, bot: Bot) -> None:
    """Make the alias point to where ``bot`` has just been switched, in one call.

    Whoever reads by the alias asks the old collection until it has followed, so where it
    points is not asked first; whether it still is right is looked at afterwards.

    Raises:
        VectorStoreUnavailable: as :func:`reconcile`.
    """
    services.vectors.point_alias(bot.alias, bot.live.collection)
    log.info("alias_moved", alias=bot.alias, now=bot.live.collection)
    reconcile(services, bot.bot_id)


def reconcile(services: Services, bot_id: str) -> bool:
    """Make the alias point to the bot's live collection; True if it had to be moved.

    The row is read again after setting: another switch may have passed in
    between, and an alias set late must not outlive it.

    Raises:
        VectorStoreUnavailable: the alias still differs; try again.
    """
    moved = False
    for _ in range(3):
        bot = services.store.bot(bot_id)
        actual = services.vectors.resolve_alias(bot.alias)
        if actual == bot.live.collection:
            return moved
        log.info("alias_moved", alias=bot.alias, was=actual, now=bot.live.collection)
        services.vectors.point_alias(bot.alias, bot.live.collection)
        moved = True
    raise VectorStoreUnavailable(f"The alias of bot {bot_id!r} does not follow; trying again.")
