"""Drop previous collections whose retention window has closed, and nothing else."""

from __future__ import annotations

import structlog

from migrations.services import Services

log = structlog.get_logger(__name__)


def purge_expired(services: Services) -> int:
    """Drop what may be dropped, each checked again under its bot's lock; the number dropped."""
    dropped = 0
    for bot in services.store.previous_expired():
        assert bot.previous is not None  # noqa: S101 # expired means there is one
        name = bot.previous.collection
        with services.store.hold_for_drop(name, bot.bot_id) as is_nobodys:
            if not is_nobodys or services.vectors.aliases_of(name):
                log.warning("purge_refused", collection=name, bot_id=bot.bot_id)
                continue
            services.vectors.drop(name)
            dropped += 1
        log.info("previous_collection_dropped", collection=name, bot_id=bot.bot_id)
    return dropped
