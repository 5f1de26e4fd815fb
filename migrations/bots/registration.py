"""Take an existing collection under our care: find its fields, give it an alias, record it."""

from __future__ import annotations

from datetime import UTC, datetime

from migrations.bots.embedded_roles import embedding_and_recipe
from migrations.bots.grants import require_grant
from migrations.embedding.work import Errand
from migrations.model.bots import MILVUS_NAME, Bot, Caller, LivePair
from migrations.model.chunks import CollectionSchema
from migrations.model.config import EmbeddingRef
from migrations.model.errors import CollectionUnsupported, InvalidConfiguration, UnknownProvider
from migrations.model.requests import BotRegistration
from migrations.process.services import Services


def register(services: Services, caller: Caller, wish: BotRegistration) -> Bot:
    """Record the bot; its alias exists afterwards.

    Raises:
        CollectionNotGranted, CollectionNotFound, CollectionUnsupported, InvalidConfiguration,
        UnusualRoles, BotExists, CollectionInUse, UnknownProvider.
    """
    # Before Milvus is asked, so that nobody learns which names there are.
    require_grant(services.store, caller, [wish.collection])
    schema = services.vectors.describe(wish.collection)
    require_grant(services.store, caller, _further_names(wish, schema))
    if schema.unsupported:
        raise CollectionUnsupported(" ".join(schema.unsupported))
    # Asked again when it is recorded: no text of what is somebody's goes to a provider.
    services.store.require_free(schema.name)
    errand = Errand(services, caller.owner, wish.bot_id)
    embedding, recipe = embedding_and_recipe(
        errand, schema, _embedding(services, wish, schema), wish, wish.recipe
    )
    now = datetime.now(UTC)
    bot = services.store.add_bot(
        Bot(
            bot_id=wish.bot_id,
            owner=caller.owner,
            alias=_alias(services, wish, schema),
            live=LivePair(collection=schema.name, embedding=embedding, generation=1),
            key_field=schema.key_field,
            vector_field=_vector_field(wish, schema),
            recipe=recipe,
            previous=None,
            created_at=now,
            updated_at=now,
            drop_originals=wish.drop_originals,
        )
    )
    if services.vectors.resolve_alias(bot.alias) is None:
        services.vectors.point_alias(bot.alias, schema.name)
    return bot


def _further_names(wish: BotRegistration, schema: CollectionSchema) -> list[str]:
    """The collection behind the given name, and an alias unless it is named after it."""
    named_after = wish.alias in {None, default_alias(schema)}
    return [schema.name] if wish.alias is None or named_after else [schema.name, wish.alias]


def _embedding(services: Services, wish: BotRegistration, schema: CollectionSchema) -> EmbeddingRef:
    ref = EmbeddingRef(
        provider=wish.provider, model=wish.model, dimension=wish.dimension or schema.dimension
    )
    if ref.dimension != schema.dimension:
        raise InvalidConfiguration(
            f"The collection holds {schema.dimension} dimensions, not {ref.dimension}."
        )
    check_dimension(services, ref)
    return ref


def check_dimension(services: Services, ref: EmbeddingRef) -> None:
    """Raises UnknownProvider; InvalidConfiguration when the catalogue knows better."""
    if ref.provider not in services.embedders.providers():
        names = ", ".join(sorted(services.embedders.providers()))
        raise UnknownProvider(f"There is no provider {ref.provider!r}; there are: {names}.")
    info = services.embedders.known(ref.provider, ref.model)
    if info and not info.supports(ref.dimension):
        offered = ", ".join(map(str, info.dimensions or (f"1 to {info.default_dimension}",)))
        raise InvalidConfiguration(
            f"{ref.provider}/{ref.model} cannot give {ref.dimension} dimensions, only {offered}."
        )


def _alias(services: Services, wish: BotRegistration, schema: CollectionSchema) -> str:
    """The alias asked for, the alias the collection was named by, or a new one."""
    if wish.alias is None and wish.collection != schema.name:
        return wish.collection
    alias = wish.alias or default_alias(schema)
    actual = services.vectors.resolve_alias(alias)
    if actual not in {None, schema.name}:
        # Which one is not said: it may be anybody's.
        raise InvalidConfiguration(
            f"The alias {alias!r} points to another collection. Choose another alias, or register "
            "the collection that it points to."
        )
    if actual is None:
        _check_new_alias(services, alias)
    return alias


def default_alias(schema: CollectionSchema) -> str:
    return f"{schema.name}_live"


def _check_new_alias(services: Services, alias: str) -> None:
    if not MILVUS_NAME.fullmatch(alias):
        raise InvalidConfiguration(
            f"{alias!r} cannot be made an alias: Milvus takes up to 255 letters, digits and '_', "
            "no digit first. State another one as alias."
        )
    if services.vectors.exists(alias):
        raise InvalidConfiguration(f"{alias!r} is a collection; an alias needs a name of its own.")


def _vector_field(wish: BotRegistration, schema: CollectionSchema) -> str:
    if wish.vector_field:
        require_vector_field(schema, wish.vector_field)
    return schema.vector_field


def require_vector_field(schema: CollectionSchema, name: str) -> None:
    """Raises InvalidConfiguration."""
    if name != schema.vector_field:
        raise InvalidConfiguration(
            f"The collection has no float vector field {name!r}; it has {schema.vector_field!r}."
        )
