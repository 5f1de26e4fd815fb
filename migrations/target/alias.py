"""The alias is a projection of the bot's row: read what is wanted, set it, check it.

Who reads by the alias may embed by it, too (:mod:`migrations.readers.by_alias`), and must not
search one collection with a vector of the other. So before an alias is moved the authority is
told; from then on nobody is given a vector by it; what was given before is searched within a
moment (the *drain*); then it is moved, and the authority is told that it has followed.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from migrations.model.bots import Bot
from migrations.model.errors import (
    CollectionNotFound,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.process.services import Services
from migrations.run.run import Run

log = structlog.get_logger(__name__)

#: How long a run that has switched waits for its alias, in finalization and in cleanup.
PATIENCE_SECONDS = 120.0


def for_a_while(run: Run, point: Callable[[], object]) -> list[str]:
    """``point`` the alias until it follows; a warning when it has not for so long.

    The bot has switched, and neither its end nor the way back may wait for the alias
    without an end: the watchdog goes on with it.
    """
    clock = run.services.clock
    until = clock.monotonic() + PATIENCE_SECONDS

    def tried() -> list[str]:
        try:
            point()
        except (VectorStoreUnavailable, VectorStoreRefused, CollectionNotFound) as error:
            if clock.monotonic() >= until:
                log.warning("alias_does_not_follow", alias=run.bot.alias, reason=error.message)
                return [_stays_behind(run, error.message)]
            raise VectorStoreUnavailable(error.message) from error
        return []

    return run.patiently(tried)


def _stays_behind(run: Run, reason: str) -> str:
    return (
        f"The alias {run.bot.alias!r} has not followed the switch ({reason}) Whoever reads by it "
        "may be answered from the previous collection. The watchdog goes on trying; if it does "
        f"not succeed, point it to {run.migration.target_collection!r} in Milvus."
    )


def follow(services: Services, bot: Bot) -> None:
    """Make the alias point to where ``bot`` has just been switched.

    Whoever reads by the alias asks the old collection until it has followed, so where it
    points is not asked first; whether it still is right is looked at afterwards.

    Raises:
        VectorStoreUnavailable: as :func:`reconcile`.
    """
    was = bot.alias_behind.collection if bot.alias_behind else None
    _move(services, bot, was)
    log.info("alias_moved", alias=bot.alias, now=bot.live.collection)
    reconcile(services, bot.bot_id)


def _move(services: Services, bot: Bot, was: str | None) -> None:
    live = bot.live.collection
    if was is not None and was != live and services.store.alias_moves(bot.bot_id, live, was):
        services.clock.sleep(services.settings.alias_drain_seconds)
    services.vectors.point_alias(bot.alias, live)
    services.store.alias_followed(bot.bot_id, live)


def reconcile(services: Services, bot_id: str) -> bool:
    """Make the alias point to the bot's live collection; True if it had to be moved.

    The row is read again after setting: another switch may have passed in
    between, and an alias set late must not outlive it.

    Raises:
        VectorStoreUnavailable: the alias still differs; try again.
    """
    moved: str | None = None
    for attempt in range(3):
        bot = services.store.bot(bot_id)
        actual = services.vectors.resolve_alias(bot.alias)
        if actual == bot.live.collection:
            if attempt:
                log.info("alias_moved", alias=bot.alias, was=moved, now=actual)
            if bot.alias_behind is not None:  # whoever moved it has died before saying so
                services.store.alias_followed(bot_id, actual)
            return attempt > 0
        _move(services, bot, actual)
        moved = actual
    raise VectorStoreUnavailable(f"The alias of bot {bot_id!r} does not follow; trying again.")
