"""Whether what is asked for is where the bot comes from, so that going back would cost nothing."""

from __future__ import annotations

from migrations.model.bots import Bot
from migrations.model.config import EmbeddingRef
from migrations.process.services import Services


def free_instead(services: Services, bot: Bot, target: EmbeddingRef) -> str | None:
    """What a rollback would do instead of a run to ``target``, in sentences."""
    previous = bot.previous
    if previous is None or previous.embedding != target or services.now() > previous.expires_at:
        return None
    switched = services.store.switched_by(bot.bot_id, bot.live.generation)
    if switched is None:
        return None
    return (
        f"The bot comes from this embedding, and its collection {previous.collection!r} is kept "
        f"until {previous.expires_at:%Y-%m-%d %H:%M} UTC: a rollback of migration {switched.id} "
        "goes back there and embeds only what was written since. This embeds everything anew."
    )
