"""Take an existing collection under our care: find its fields, give it an alias, record it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from migrations.bots.embedded_roles import embedding_and_recipe
from migrations.bots.embedded_text import proof_of_found
from migrations.bots.grants import require_grant
from migrations.bots.names import adopt_name, finish_adopting, require_adoptable
from migrations.embedding.work import Errand
from migrations.model.bots import Bot, Caller, LivePair
from migrations.model.chunks import CollectionSchema
from migrations.model.collection_names import can_be_made, database_of
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    CollectionUnsupported,
    InvalidConfiguration,
    RequestError,
    UnknownProvider,
)
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
    if wish.adopt_name:
        finish_adopting(services, wish.collection)
    schema = services.vectors.describe(wish.collection)
    require_grant(services.store, caller, _further_names(wish, schema))
    schema = _of_its_vector(services, wish, schema)
    if schema.unsupported:
        raise CollectionUnsupported(" ".join(schema.unsupported))
    # Asked again when it is recorded: no text of what is somebody's goes to a provider.
    services.store.require_free(schema.name)
    adopts = _adopts_name(services, wish, schema)
    errand = Errand(services, caller.owner, wish.bot_id)
    embedding, found = embedding_and_recipe(
        errand, schema, _embedding(services, wish, schema), wish, wish.recipe
    )
    proof = proof_of_found(found, embedding, by=caller.owner, at=services.now())
    now = datetime.now(UTC)
    bot = Bot(
        bot_id=wish.bot_id,
        owner=caller.owner,
        alias=wish.collection if adopts else _alias(services, wish, schema),
        live=LivePair(collection=schema.name, embedding=embedding, generation=1),
        key_field=schema.key_field,
        vector_field=schema.vector_field,
        recipe=found.recipe,
        previous=None,
        created_at=now,
        updated_at=now,
        drop_originals=wish.drop_originals,
        proof=proof,
        metric=schema.metric or None,
    )
    bot = _recorded_under_its_name(services, bot) if adopts else services.store.add_bot(bot)
    if services.vectors.resolve_alias(bot.alias) is None:
        services.vectors.point_alias(bot.alias, schema.name)
    return bot


def _adopts_name(services: Services, wish: BotRegistration, schema: CollectionSchema) -> bool:
    """Whether it has to be renamed; not where its name is an alias already.

    Raises InvalidConfiguration.
    """
    if not wish.adopt_name or wish.collection != schema.name:
        return False
    if wish.alias is not None:
        raise InvalidConfiguration(
            "With adopt_name the collection's name is the alias; state none."
        )
    require_adoptable(services, schema.name)
    return True


def _recorded_under_its_name(services: Services, bot: Bot) -> Bot:
    """Renamed at last, when nothing else can be refused but what another is doing meanwhile."""
    collection = adopt_name(services, bot.alias)
    adopted = replace(bot, live=replace(bot.live, collection=collection))
    try:
        return services.store.add_bot(adopted)
    except RequestError:
        services.vectors.drop_alias(bot.alias)
        services.vectors.rename(collection, bot.alias)
        raise


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
    _require_same_database(alias, schema.name)
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


def _require_same_database(alias: str, collection: str) -> None:
    database, its_own = database_of(collection), database_of(alias)
    if its_own != database:
        where = f"the database {database!r}" if database else "the deployment's database"
        like = f"'{database}.<name>'" if database else "without a database"
        raise InvalidConfiguration(
            f"An alias stands in the database of its collection, and {collection!r} is in {where}: "
            f"state the alias {like}."
        )


def default_alias(schema: CollectionSchema) -> str:
    return f"{schema.name}_live"


def _check_new_alias(services: Services, alias: str) -> None:
    if not can_be_made(alias):
        raise InvalidConfiguration(
            f"{alias!r} cannot be made an alias: Milvus takes up to 255 letters, digits and '_', "
            "no digit first. State another one as alias."
        )
    if services.vectors.exists(alias):
        raise InvalidConfiguration(f"{alias!r} is a collection; an alias needs a name of its own.")


def _of_its_vector(
    services: Services, wish: BotRegistration, schema: CollectionSchema
) -> CollectionSchema:
    """The schema with respect to the vector that is embedded; never one of several by guess."""
    if wish.vector_field is None and len(schema.float_vectors) < 2:
        return schema
    if wish.vector_field is None:
        raise InvalidConfiguration(
            f"The collection has several float vector fields: {_listed(schema)}. State the one "
            "that is to be embedded anew as vector_field; the others are copied as they are."
        )
    require_vector_field(schema, wish.vector_field)
    return services.vectors.describe(schema.name, wish.vector_field)


def require_vector_field(schema: CollectionSchema, name: str) -> None:
    """Raises InvalidConfiguration."""
    if name not in schema.float_vectors:
        raise InvalidConfiguration(
            f"The collection has no float vector field {name!r}; it has {_listed(schema)}."
        )


def _listed(schema: CollectionSchema) -> str:
    return ", ".join(map(repr, schema.float_vectors)) or "none"
