"""Correct what a bot was registered with, and let it go."""

from __future__ import annotations

from dataclasses import replace

from migrations.bots.embedded_roles import require_usual_queries
from migrations.bots.embedded_text import proof_of_found, prove_recipe
from migrations.bots.registration import require_vector_field
from migrations.embedding.work import Errand
from migrations.model.bots import Bot
from migrations.model.chunks import CollectionSchema
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, MigrationInProgress
from migrations.model.proofs import Proof
from migrations.model.requests import READ_BY_RUNS, BotChange
from migrations.process.services import Services


def change(services: Services, bot: Bot, wish: BotChange, by: str) -> Bot:
    """The bot as ``by`` has it then. What is asked for and is so already changes nothing.

    Raises:
        BotNotFound, CollectionNotFound, InvalidConfiguration, UnusualRoles;
        MigrationInProgress: a live run works with what is to be changed.
    """
    changed = wish.values(bot)
    if changed.keys() & READ_BY_RUNS:
        _require_no_live_run(services, bot)  # asked again under lock; this spares the provider
        embedding = bot.live.embedding.in_manner(changed.get("manner", bot.manner))
        metric, proof = _check_fields(services, bot, wish, embedding, by)
        wish = replace(wish, metric=metric, proof=proof, of_generation=bot.live.generation)
    return services.store.change_bot(bot.bot_id, wish) if changed else bot


def _require_no_live_run(services: Services, bot: Bot) -> None:
    live = services.store.live(bot.bot_id)
    if live is not None:
        raise MigrationInProgress.of(live.id, live.status)


def _check_fields(
    services: Services, bot: Bot, wish: BotChange, embedding: EmbeddingRef, by: str
) -> tuple[str | None, Proof | None]:
    """The metric, and what shows that another text is right, if it is to be another one."""
    schema = services.vectors.describe(bot.live.collection)
    if wish.key_field is not None:
        _require_key_field(schema, wish.key_field)
    vector_field, recipe = wish.vector_field or bot.vector_field, wish.recipe or bot.recipe
    if vector_field != bot.vector_field:
        require_vector_field(schema, vector_field)
        _require_no_way_back(bot)
    live = bot.live.embedding
    if embedding.query_role != live.query_role and not wish.unusual_roles:
        known = services.embedders.known_roles(embedding.provider, embedding.model)
        require_usual_queries(embedding, known, embedding.roles)
    asked = (vector_field, recipe, embedding.document_role)
    if asked == (bot.vector_field, bot.recipe, live.document_role):
        return None, None
    schema = services.vectors.describe(bot.live.collection, vector_field)
    _require_dimension(schema, bot)
    found = prove_recipe(Errand.of(services, bot), embedding, schema, recipe)
    return schema.metric or None, proof_of_found(found, embedding, by=by, at=services.now())


def _require_no_way_back(bot: Bot) -> None:
    """The collection that one goes back to has the vectors of the other field."""
    if bot.previous is not None:
        raise InvalidConfiguration(
            f"The bot can be rolled back to {bot.previous.collection!r} until "
            f"{bot.previous.expires_at:%Y-%m-%d %H:%M} UTC, where {bot.vector_field!r} was "
            "embedded; change the vector field after that, or remove the bot and register it anew."
        )


def _require_dimension(schema: CollectionSchema, bot: Bot) -> None:
    if schema.dimension != bot.live.embedding.dimension:
        raise InvalidConfiguration(
            f"The field {schema.vector_field!r} holds {schema.dimension} dimensions and the bot's "
            f"model gives {bot.live.embedding.dimension}; to migrate another vector, remove the "
            "bot and register it anew with that field and its model."
        )


def _require_key_field(schema: CollectionSchema, name: str) -> None:
    if name != schema.key_field:
        raise InvalidConfiguration(
            f"The collection's primary key is {schema.key_field!r}, not {name!r}."
        )
