"""Which text of a row was embedded: found by its vectors, never guessed.

Every way to make a text that a collection's rows suggest is a candidate. The bot's model
embeds the texts of some rows for each; what gives the stored vectors again was embedded, see
:mod:`migrations.bots.recipe_search`. Where several fit, or none, whoever registers the bot is
asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from migrations.bots.recipe_search import Candidate, all_over, diagnose, judge_recipe
from migrations.bots.text_candidates import SAY_TEXT, says
from migrations.embedding.work import Work
from migrations.model.chunks import LOOKED_UP, CollectionSchema
from migrations.model.config import EmbeddingRef
from migrations.model.errors import CollectionNotLoaded, InvalidConfiguration
from migrations.model.looked_up import read_with_texts
from migrations.model.proofs import How, Proof
from migrations.model.texts import FieldRecipe, Recipe, SqlRecipe
from migrations.ports.vector_store import VectorStore
from migrations.proof.fidelity import Verdict, proof_of


@dataclass(frozen=True)
class Found:
    """A recipe, and what shows that it is right; nothing does in an empty collection."""

    recipe: Recipe
    verdict: Verdict | None
    #: What the application has put before each text for the present model.
    prefix: str = ""


def find_recipe(work: Work, embedding: EmbeddingRef, schema: CollectionSchema) -> Found:
    """The one way of making a text that the model turns into the stored vectors.

    In an empty collection the only column whose name says text will do.

    Raises:
        InvalidConfiguration: there is not exactly one, or the model cannot be asked.
        VectorStoreUnavailable: among others because the collection is not loaded.
    """
    found = diagnose(work, embedding, schema)
    if not found.rows:
        named = [name for name in schema.text_candidates if says(SAY_TEXT, name)]
        if len(named) == 1:
            return Found(FieldRecipe(field=named[0]), None)
        raise InvalidConfiguration(
            f"The collection is empty, so nothing proves which field is embedded. {_asked(schema)}"
        )
    fitting = found.fitting
    if len(fitting) == 1:
        return Found(fitting[0].recipe, fitting[0].verdict, fitting[0].prefix)
    if fitting:
        names = ", ".join(map(str, fitting))
        raise InvalidConfiguration(
            f"{embedding} gives the stored vectors for several texts: {names}. State the one that "
            "was embedded as text."
        )
    raise InvalidConfiguration(_nothing_fits(embedding, schema, found.candidates))


def prove_recipe(
    work: Work, embedding: EmbeddingRef, schema: CollectionSchema, recipe: Recipe
) -> Found:
    """``recipe``, which somebody states, must make texts that have the stored vectors.

    In an empty collection there is nothing to prove.

    Raises:
        InvalidConfiguration: it does not, or the model cannot be asked.
        VectorStoreUnavailable: among others because the collection is not loaded.
    """
    require_fields(schema, recipe)
    if not work.services.vectors.count(schema.name):
        return Found(recipe, None)
    judged = judge_recipe(work, embedding, schema, recipe)
    if not judged.fits:
        raise InvalidConfiguration(_nothing_fits(embedding, schema, [judged]))
    return Found(recipe, judged.verdict)


def proof_of_found(found: Found, embedding: EmbeddingRef, *, by: str, at: datetime) -> Proof:
    if found.verdict is None:
        return Proof(how=How.STATED, by=by, at=at, embedding=embedding)
    return proof_of(found.verdict, How.REPRODUCED, embedding, by=by, at=at)


def require_texts(vectors: VectorStore, schema: CollectionSchema, recipe: Recipe) -> None:
    """``recipe``, which somebody states, must make a text of some row; nothing is embedded for it.

    A collection that is empty or not loaded contradicts nobody.

    Raises:
        InvalidConfiguration, VectorStoreUnavailable.
    """
    require_fields(schema, recipe)
    schema = read_with_texts(schema, recipe)
    try:
        rows = all_over(vectors, schema) if vectors.count(schema.name) else []
    except CollectionNotLoaded:
        return
    if rows and not any(recipe.text_of(row.fields) for row in rows):
        asked = _asked(schema)
        if isinstance(recipe, SqlRecipe):
            asked = f"Looked up were keys such as {rows[0].key!r}."
        raise InvalidConfiguration(
            f"None of {len(rows)} rows from all over the collection has {recipe}. {asked}"
        )


def require_fields(schema: CollectionSchema, recipe: Recipe) -> None:
    """Where nothing is dynamic, a text can only be made of columns. Raises InvalidConfiguration."""
    if isinstance(recipe, SqlRecipe) and schema.key_is_given:
        raise InvalidConfiguration(
            f"Milvus gives the keys '{schema.key_field}', and would give others in the new "
            "collection: texts that stand in a table cannot be looked up for such a collection."
        )
    columns = {field["name"] for field in schema.description["fields"]} | {LOOKED_UP}
    strangers = [name for name in recipe.fields if name not in columns]
    if strangers and not schema.description["enable_dynamic_field"]:
        raise InvalidConfiguration(
            f"The collection has no text field {strangers[0]!r}; it has: "
            f"{', '.join(schema.text_candidates) or 'none'}."
        )


# --- sentences --------------------------------------------------------------------


def _asked(schema: CollectionSchema) -> str:
    names = ", ".join(schema.text_candidates)
    columns = f"; its VARCHAR columns are: {names}" if names else ""
    return f"State the one that was embedded as text_field{columns}."


def _nothing_fits(
    embedding: EmbeddingRef, schema: CollectionSchema, told: Sequence[Candidate]
) -> str:
    fields = [one for one in told if isinstance(one.recipe, FieldRecipe)]
    others = [one for one in told if one not in fields]
    tried = ", ".join(
        f"{candidate} (median cosine {candidate.verdict.median:.4f})"
        if candidate.verdict.cosines
        else f"{candidate} (no text in the sample that the model takes)"
        for candidate in (*fields[:6], *others[:4])
    )
    if not tried:
        return (
            "No row of the collection holds a text that could have been embedded. If the texts "
            "stand in a table of your own, state that as text: sql, table, key and column."
        )
    return (
        f"{embedding} does not give the stored vectors for {tried}: another text, the text with "
        f"something else, or by another model was embedded. {_asked(schema)}"
    )
