"""Correct what a bot was registered with, and let it go."""

from __future__ import annotations

from dataclasses import replace

from migrations.bots.embedded_roles import require_usual_queries
from migrations.bots.embedded_text import prove_recipe
from migrations.bots.registration import require_vector_field
from migrations.embedding.work import Errand
from migrations.model.bots import Bot
from migrations.model.chunks import CollectionSchema
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, MigrationInProgress
from migrations.model.requests import READ_BY_RUNS, BotChange
from migrations.process.services import Services


def change(services: Services, bot: Bot, wish: BotChange) -> Bot:
    """The bot as it is then. What is asked for and is so already changes nothing.

    Raises:
        BotNotFound, CollectionNotFound, InvalidConfiguration, UnusualRoles;
        MigrationInProgress: a live run works with what is to be changed.
    """
    changed = wish.values(bot)
    if changed.keys() & READ_BY_RUNS:
        _require_no_live_run(services, bot)  # asked again under lock; this spares the provider
        embedding = bot.live.embedding.in_manner(changed.get("manner", bot.manner))
        _check_fields(services, bot, wish, embedding)
        wish = replace(wish, of_generation=bot.live.generation)
    return services.store.change_bot(bot.bot_id, wish) if changed else bot


def _require_no_live_run(services: Services, bot: Bot) -> None:
    live = services.store.live(bot.bot_id)
    if live is not None:
        raise MigrationInProgress.of(live.id, live.status)


def _check_fields(services: Services, bot: Bot, wish: BotChange, embedding: EmbeddingRef) -> None:
    schema = services.vectors.describe(bot.live.collection)
    if wish.key_field is not None:
        _require_key_field(schema, wish.key_field)
    if wish.vector_field is not None:
        require_vector_field(schema, wish.vector_field)
    if embedding.query_role != bot.live.embedding.query_role and not wish.unusual_roles:
        known = services.embedders.known_roles(embedding.provider, embedding.model)
        require_usual_queries(embedding, known, embedding.roles)
    recipe = wish.recipe or bot.recipe
    if (recipe, embedding.document_role) != (bot.recipe, bot.live.embedding.document_role):
        prove_recipe(Errand.of(services, bot), embedding, schema, recipe)


def _require_key_field(schema: CollectionSchema, name: str) -> None:
    if name != schema.key_field:
        raise InvalidConfiguration(
            f"The collection's primary key is {schema.key_field!r}, not {name!r}."
        )
