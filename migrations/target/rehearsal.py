"""Can Milvus make the target as it is wanted? Tried on a scratch collection of our own.

An index may not fit the new dimension, and an engine may make something else of what it is
asked for. Found out before anything is embedded, instead of when the target is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migrations.model.bots import Bot
from migrations.model.chunks import CollectionSchema
from migrations.model.collection_names import shortened
from migrations.model.config import TargetIndex
from migrations.model.runs import tag_of
from migrations.process.services import Services
from migrations.target.drop import drop

#: Indexes whose parameters fit any dimension, so that nothing has to be tried.
FIT_ANY_DIMENSION = frozenset(
    {"FLAT", "HNSW", "AUTOINDEX", "IVF_FLAT", "IVF_SQ8", "SCANN", "DISKANN", ""}
)


def scratch_name(bot: Bot) -> str:
    """One for each bot, so that what a killed process has left is found by the next.

    Within Milvus' 255 characters.
    """
    return f"{shortened(bot.alias, 200)}__tried"


def must_be_tried(source: CollectionSchema, index: TargetIndex | None) -> bool:
    return index is not None or source.index_type not in FIT_ANY_DIMENSION


def rehearse(services: Services, bot: Bot, wanted: CollectionSchema, dimension: int) -> None:
    """Make an empty collection with its indexes, compare it, drop it.

    Raises:
        VectorStoreRefused, SchemaNotReproduced: what Milvus has against it, or made of it;
        ForeignCollection: somebody has a collection of this name.
    """
    with scratch(services, bot, wanted, dimension):
        pass


@contextmanager
def scratch(
    services: Services, bot: Bot, wanted: CollectionSchema, dimension: int
) -> Iterator[str | None]:
    """An empty collection of the bot's for the block, which is dropped after it.

    None where a bot has a collection of this very name, which is not touched. Its lock is held
    meanwhile: who else would make or drop it waits.

    Raises:
        as :func:`rehearse`.
    """
    name, tag = scratch_name(bot), tag_of(bot.bot_id)
    with services.store.lock_for_drop(name) as is_nobodys:
        if not is_nobodys:
            yield None
            return
        drop(services, name, tag)
        try:
            services.vectors.create_like(wanted, name, dimension, tag)
            yield name
        finally:
            drop(services, name, tag)


def forget_rehearsal(services: Services, bot: Bot) -> None:
    """Drop what a killed process has left; nothing where there is nothing."""
    if services.vectors.exists(scratch_name(bot)):
        with services.store.lock_for_drop(scratch_name(bot)) as is_nobodys:
            if is_nobodys:
                drop(services, scratch_name(bot), tag_of(bot.bot_id))
