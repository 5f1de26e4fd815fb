"""Texts that stand in a table of the user's own and not in the collection."""

from __future__ import annotations

from dataclasses import dataclass, replace

from migrations.model.chunks import LOOKED_UP, Chunk, CollectionSchema, LookedUp
from migrations.model.texts import Recipe, SqlRecipe


@dataclass(frozen=True)
class LookUp:
    """With which text the rows of a collection are read."""

    recipe: SqlRecipe
    #: The one that a row's vector is of, by what was noted when it was written; otherwise the
    #: one that stands in the table now.
    as_embedded: bool = False


def read_with_texts(
    schema: CollectionSchema, recipe: Recipe, *, as_embedded: bool = False
) -> CollectionSchema:
    """The schema by which rows come with what ``recipe`` makes their text of."""
    look_up = LookUp(recipe, as_embedded) if isinstance(recipe, SqlRecipe) else None
    return schema if schema.look_up == look_up else replace(schema, look_up=look_up)


def looked_up(chunk: Chunk) -> LookedUp | None:
    """None where the text stands in the row."""
    found = chunk.fields.get(LOOKED_UP)
    return found if isinstance(found, LookedUp) else None


def is_of_known_text(chunk: Chunk) -> bool:
    """Whether the text that the chunk is read with is the one its vector is said to be of."""
    found = looked_up(chunk)
    return found is None or found.is_known
