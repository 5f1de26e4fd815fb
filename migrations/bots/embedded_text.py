"""Which text of a row was embedded: found by its vectors, never guessed.

Every way to make a text that a collection's rows suggest is a candidate: each field that
holds text, wherever it stands, titles before texts, and the ways of frameworks. The bot's
model embeds the texts of some rows for each; what gives the stored vectors again was
embedded. Where several do, or none, whoever registers the bot is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest

import numpy as np

from migrations.bots.text_candidates import SAY_TEXT, candidates, says
from migrations.embedding.work import Work
from migrations.model.chunks import Chunk, CollectionSchema
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    CollectionNotLoaded,
    InvalidConfiguration,
    ReembedError,
    TextRefused,
)
from migrations.model.proofs import How, Proof
from migrations.model.texts import FieldRecipe, Recipe
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.ports.vector_store import VectorStore
from migrations.proof.fidelity import Questions, Verdict, proof_of

#: Rows whose texts are embedded for each candidate, and for each that may be the one.
GLANCE, SAMPLE = 10, 100
#: A candidate whose median cosine is so far below the best one's after a glance is left aside.
BEHIND = 0.05
MOST_FINALISTS = 8
#: What directions are multiplied with, to lie far outside of vectors of length one or ten.
_FAR = np.float32(100)
#: Rows looked at near each direction, so that enough of them have a text.
_NEAREST = 5


@dataclass(frozen=True)
class Candidate:
    """A recipe, and how near the vectors of its texts are to the stored ones."""

    recipe: Recipe
    verdict: Verdict

    @property
    def fits(self) -> bool:
        return bool(self.verdict.cosines) and self.verdict.passed


@dataclass(frozen=True)
class Diagnosis:
    """All candidates, the best first. ``rows`` were looked at; none in an empty collection.

    ``tokens`` were paid for it.
    """

    rows: Sequence[Chunk]
    candidates: Sequence[Candidate]
    tokens: int = 0

    @property
    def fitting(self) -> list[Candidate]:
        """Each once of those whose texts differ in white space alone, which models overlook."""
        by_words: dict[tuple[tuple[str, ...], ...], Candidate] = {}
        fields: list[Candidate] = []
        for candidate in self.candidates:
            if candidate.fits and isinstance(candidate.recipe, FieldRecipe):
                fields.append(candidate)
            elif candidate.fits:
                texts = (candidate.recipe.text_of(row.fields) for row in self.rows)
                by_words.setdefault(tuple(tuple(text.split()) for text in texts), candidate)
        return [*fields, *by_words.values()]


def diagnose(work: Work, embedding: EmbeddingRef, schema: CollectionSchema) -> Diagnosis:
    """Ask the model which text gives the stored vectors.

    Raises:
        InvalidConfiguration: the model cannot be asked.
        VectorStoreUnavailable: among others because the collection is not loaded.
    """
    vectors = work.services.vectors
    if not vectors.count(schema.name):
        return Diagnosis([], [])
    search = _Search(Questions(work, embedding, "registration"), _all_over(vectors, schema))
    found = search.ranked(candidates(schema, search.rows))
    return Diagnosis(search.rows, search.by_the_models_own(found), search.questions.tokens)


@dataclass(frozen=True)
class _Search:
    """Which of some recipes gives the vectors of ``rows``."""

    questions: Questions
    rows: Sequence[Chunk]

    def ranked(self, suggested: Sequence[Recipe]) -> list[Candidate]:
        """The best first; those that lag far behind after a glance are not asked about further."""
        is_short = len(suggested) == 1 or len(self.rows) <= GLANCE
        glance = SAMPLE if is_short else GLANCE
        glanced = [self.judged(recipe, glance) for recipe in suggested]
        if is_short:
            return sorted(glanced, key=_nearness, reverse=True)
        best = max((c.verdict.median for c in glanced if c.verdict.cosines), default=0.0)
        near = [c for c in glanced if c.verdict.cosines and c.verdict.median > best - BEHIND]
        finalists = sorted(near, key=_nearness, reverse=True)[:MOST_FINALISTS]
        judged = [self.judged(c.recipe, SAMPLE) for c in finalists]
        others = [candidate for candidate in glanced if candidate not in finalists]
        return sorted([*judged, *others], key=_nearness, reverse=True)

    def judged(self, recipe: Recipe, most: int) -> Candidate:
        try:
            return Candidate(recipe, self.questions.judged(self._some(recipe, most), recipe))
        except TextRefused:  # says something of these texts, and nothing of other candidates'
            return Candidate(recipe, Verdict({}, made=False))
        except PROVIDER_FAULTS as error:
            raise self._cannot_ask(error) from error

    def by_the_models_own(self, ranked: Sequence[Candidate]) -> list[Candidate]:
        """By how alike the model answers to the texts of the best one, when it is asked twice."""
        if not ranked or not ranked[0].verdict.cosines:
            return list(ranked)
        recipe, verdict = ranked[0].recipe, ranked[0].verdict
        try:
            best = self.questions.by_its_own(self.rows, recipe, verdict)
        except PROVIDER_FAULTS as error:
            raise self._cannot_ask(error) from error
        return [replace(one, verdict=one.verdict.by(best)) for one in ranked]

    def _some(self, recipe: Recipe, most: int) -> list[Chunk]:
        return [row for row in self.rows if recipe.text_of(row.fields)][:most]

    def _cannot_ask(self, error: ReembedError) -> InvalidConfiguration:
        return InvalidConfiguration(
            f"{self.questions.ref} cannot be asked which text was embedded ({error.message}). "
            "State it as text or text_field."
        )


@dataclass(frozen=True)
class Found:
    """A recipe, and what shows that it is right; nothing does in an empty collection."""

    recipe: Recipe
    verdict: Verdict | None


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
        return Found(fitting[0].recipe, fitting[0].verdict)
    if fitting:
        names = ", ".join(str(candidate.recipe) for candidate in fitting)
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
    vectors = work.services.vectors
    if not vectors.count(schema.name):
        return Found(recipe, None)
    search = _Search(Questions(work, embedding, "registration"), _all_over(vectors, schema))
    (judged,) = search.by_the_models_own(search.ranked([recipe]))
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
    try:
        rows = _all_over(vectors, schema) if vectors.count(schema.name) else []
    except CollectionNotLoaded:
        return
    if rows and not any(recipe.text_of(row.fields) for row in rows):
        raise InvalidConfiguration(
            f"None of {len(rows)} rows from all over the collection has {recipe}. {_asked(schema)}"
        )


def require_fields(schema: CollectionSchema, recipe: Recipe) -> None:
    """Where nothing is dynamic, a text can only be made of columns. Raises InvalidConfiguration."""
    columns = {field["name"] for field in schema.description["fields"]}
    strangers = [name for name in recipe.fields if name not in columns]
    if strangers and not schema.description["enable_dynamic_field"]:
        raise InvalidConfiguration(
            f"The collection has no text field {strangers[0]!r}; it has: "
            f"{', '.join(schema.text_candidates) or 'none'}."
        )


# --- judging ----------------------------------------------------------------------


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


def _nearness(candidate: Candidate) -> tuple[bool, float]:
    return bool(candidate.verdict.cosines), candidate.verdict.median


# --- sentences --------------------------------------------------------------------


def _asked(schema: CollectionSchema) -> str:
    names = ", ".join(schema.text_candidates)
    columns = f"; its VARCHAR columns are: {names}" if names else ""
    return f"State the one that was embedded as text_field{columns}."


def _nothing_fits(
    embedding: EmbeddingRef, schema: CollectionSchema, told: Sequence[Candidate]
) -> str:
    tried = ", ".join(
        f"{candidate.recipe} (median cosine {candidate.verdict.median:.4f})"
        if candidate.verdict.cosines
        else f"{candidate.recipe} (no text in the sample that the model takes)"
        for candidate in told[:10]
    )
    if not tried:
        return "No row of the collection holds a text that could have been embedded."
    return (
        f"{embedding} does not give the stored vectors for {tried}: another text, the text with "
        f"something else, or by another model was embedded. {_asked(schema)}"
    )
