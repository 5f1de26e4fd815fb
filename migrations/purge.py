"""Drop previous collections whose retention window has closed, and nothing else."""

from __future__ import annotations

import structlog

from migrations.entities import Bot
from migrations.errors import ForeignCollection, ReembedError
from migrations.services import Services

log = structlog.get_logger(__name__)


def purge_expired(services: Services) -> int:
    """Drop what may be dropped, each checked again under its bot's lock; the number dropped.

    One that cannot be dropped now is looked at again next time and does not keep the others.
    """
    dropped = 0
    for bot in services.store.previous_expired():
        try:
            dropped += _purge(services, bot)
        except ReembedError as error:
            log.warning("purge_refused", bot_id=bot.bot_id, reason=error.message)
    return dropped


def _purge(services: Services, bot: Bot) -> bool:
    """Leaving the hold with an error, or when it is somebody's, keeps the bot's way back.

    Raises:
        ForeignCollection: an alias points to it.
    """
    assert bot.previous is not None  # noqa: S101 # expired means there is one
    name, vectors = bot.previous.collection, services.vectors
    with services.store.hold_for_drop(name, bot.bot_id) as is_nobodys:
        if not is_nobodys:
            return False
        # Gone already when somebody dropped it, or a purge died between drop and commit.
        aliases = vectors.aliases_of(name) if vectors.exists(name) else []
        if aliases:
            raise ForeignCollection(f"{name!r} has the alias {aliases[0]!r}; kept.")
        vectors.drop(name)
    log.info("previous_collection_dropped", collection=name, bot_id=bot.bot_id)
    return True
