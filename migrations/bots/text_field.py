"""Which field of a collection was embedded: taken by itself only if its vectors prove it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import numpy as np

from migrations.embedding.work import Work
from migrations.model.chunks import Chunk, CollectionSchema
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration
from migrations.model.texts import Recipe
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.ports.vector_store import VectorStore
from migrations.proof.fidelity import Verdict, judge_found

#: Field names that say text, as applications have them, in lower case without underscores.
SAY_TEXT = frozenset(
    {
        *("text", "content", "pagecontent", "textcontent", "langchaintext", "rawtext"),
        *("chunk", "chunktext", "chunkcontent", "document", "documenttext", "doc"),
        *("body", "passage", "paragraph"),
    }
)
#: Rows whose texts are embedded to prove a field.
SAMPLE = 50
#: What directions are multiplied with, to lie far outside of vectors of length one or ten.
_FAR = np.float32(100)
#: Rows looked at near each direction, so that enough of them have a text.
_NEAREST = 5


def find_text_field(work: Work, embedding: EmbeddingRef, schema: CollectionSchema) -> str:
    """The one field whose name says text and whose texts the model turns into the stored vectors.

    In an empty collection the name is enough, if it is the only one.

    Raises:
        InvalidConfiguration: there is not exactly one, or the model cannot be asked.
        VectorStoreUnavailable: among others because the collection is not loaded.
    """
    named = [name for name in schema.text_candidates if _says_text(name)]
    vectors = work.services.vectors
    if not vectors.count(schema.name):
        if len(named) == 1:
            return named[0]
        raise InvalidConfiguration(
            f"The collection is empty, so nothing proves which field is embedded. {_asked(schema)}"
        )
    rows = _all_over(vectors, schema)
    if not named:
        raise InvalidConfiguration(_nothing_named(schema, rows))
    verdicts = _verdicts(work, embedding, schema, rows, named)
    fitting = [name for name, verdict in verdicts.items() if verdict.cosines and verdict.passed]
    if len(fitting) == 1:
        return fitting[0]
    raise InvalidConfiguration(
        f"{embedding} gives the stored vectors for several fields: {_quoted(fitting)}."
        f" {_asked(schema)}"
        if fitting
        else _nothing_fits(embedding, schema, verdicts)
    )


def prove_text_field(
    work: Work, embedding: EmbeddingRef, schema: CollectionSchema, name: str
) -> None:
    """``name``, which somebody states, must be a field whose texts have the stored vectors.

    In an empty collection there is nothing to prove.

    Raises:
        InvalidConfiguration: it is none, or the model cannot be asked.
        VectorStoreUnavailable: among others because the collection is not loaded.
    """
    require_candidate(schema, name)
    vectors = work.services.vectors
    if not vectors.count(schema.name):
        return
    verdicts = _verdicts(work, embedding, schema, _all_over(vectors, schema), [name])
    if not (verdicts[name].cosines and verdicts[name].passed):
        raise InvalidConfiguration(_nothing_fits(embedding, schema, verdicts))


def require_candidate(schema: CollectionSchema, name: str) -> None:
    """Raises InvalidConfiguration."""
    names = schema.text_candidates
    if name not in names:
        raise InvalidConfiguration(
            f"The collection has no text field {name!r}; it has: {', '.join(names) or 'none'}. "
            "Only a VARCHAR field can be one, no member of the dynamic field or of JSON."
        )


def _says_text(name: str) -> bool:
    return name.lower().replace("_", "") in SAY_TEXT


def _all_over(vectors: VectorStore, schema: CollectionSchema) -> list[Chunk]:
    """Rows from all over the collection: those nearest to directions that are drawn by lot.

    One search, however many rows there are; keys in order would have to be read to the
    end. Searched from far outside, every metric means the direction, if lengths differ by
    little: from nearby, the shortest vectors would be nearest to most by L2.
    """
    drawn = np.random.default_rng(0).standard_normal((SAMPLE, schema.dimension), dtype=np.float32)
    now = vectors.moment()
    answers = vectors.search(schema, _FAR * drawn, limit=_NEAREST, output_fields=[], as_of=now)
    by_rank = (hit for rank in zip_longest(*answers) for hit in rank if hit is not None)
    keys = list(dict.fromkeys(hit.key for hit in by_rank))
    found = {c.key: c for c in vectors.fetch(schema, keys, with_vectors=True, as_of=now)}
    return [found[key] for key in keys if key in found]


def _verdicts(
    work: Work,
    embedding: EmbeddingRef,
    schema: CollectionSchema,
    rows: Sequence[Chunk],
    named: Sequence[str],
) -> dict[str, Verdict]:
    try:
        return {
            recipe.column: judge_found(
                work, embedding, _with_text(rows, recipe), recipe, "registration"
            )
            for recipe in map(Recipe, named)
        }
    except PROVIDER_FAULTS as error:
        raise InvalidConfiguration(
            f"{embedding} cannot be asked which field was embedded ({error.message})."
            f" {_asked(schema)}"
        ) from error


def _with_text(rows: Sequence[Chunk], recipe: Recipe) -> list[Chunk]:
    return [row for row in rows if recipe.text_of(row.fields)][:SAMPLE]


# --- sentences --------------------------------------------------------------------


def _asked(schema: CollectionSchema) -> str:
    names = schema.text_candidates
    if not names:
        return "It has no VARCHAR field that could hold the text."
    return f"Name the one that was embedded as text_field; there are: {', '.join(names)}."


def _nothing_named(schema: CollectionSchema, rows: Sequence[Chunk]) -> str:
    begun = (
        "No name of a VARCHAR field says that it holds the text."
        if schema.text_candidates
        else "The collection has no VARCHAR field that could hold the text."
    )
    hidden = sorted({name for row in rows for name in _hidden_texts(row, schema)})
    where = (
        f" The text seems to lie in {_quoted(hidden)}, in the dynamic field or in JSON;"
        " such a collection cannot be migrated yet."
        if hidden
        else " A text in the dynamic field, in JSON or outside of Milvus cannot be migrated yet."
    )
    return f"{begun}{where}" + (f" {_asked(schema)}" if schema.text_candidates else "")


def _hidden_texts(row: Chunk, schema: CollectionSchema) -> Iterable[str]:
    """Names of what says text and is no column: members of the dynamic field and of JSON."""
    columns = {schema.key_field, *schema.text_candidates}
    for name, value in row.fields.items():
        if isinstance(value, dict):
            yield from (f"{name}.{m}" for m, v in value.items() if v and _says_text(str(m)))
        elif isinstance(value, str) and value and _says_text(name) and name not in columns:
            yield name


def _nothing_fits(
    embedding: EmbeddingRef, schema: CollectionSchema, told: dict[str, Verdict]
) -> str:
    each = (
        f"{name!r} (median cosine {verdict.median:.4f})"
        if verdict.cosines
        else f"{name!r} (no text in the sample)"
        for name, verdict in told.items()
    )
    return (
        f"{embedding} does not give the stored vectors for {', '.join(each)}: another field, the"
        f" text with something else, or by another model was embedded. {_asked(schema)}"
    )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
