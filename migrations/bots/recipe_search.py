"""The search for the text that was embedded: what is tried, and how near it comes.

It is looked for in three steps, the next only where the one before leaves something
unexplained: fields alone, what is put round those that come nearest, what was done with
the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from migrations.bots.text_candidates import (
    PREFIXES,
    SAY_TEXT,
    done_with,
    fields_of_text,
    put_round,
    says,
)
from migrations.embedding.work import Work
from migrations.model.chunks import Chunk, CollectionSchema, Key
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, ReembedError, TextRefused
from migrations.model.looked_up import read_with_texts
from migrations.model.texts import FieldRecipe, Recipe
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.ports.vector_store import Moment, VectorStore
from migrations.proof.fidelity import Questions, Verdict

#: Rows whose texts are embedded for each candidate, and for each that may be the one.
GLANCE, SAMPLE = 10, 100
#: A candidate whose median cosine is so far below the best one's after a glance is left aside.
BEHIND = 0.05
#: Round a field whose median is so far below the best one's nothing is tried for its own sake.
FAR_BEHIND = 0.25
MOST_FINALISTS = 8
#: Fields round which something is looked for, and recipes with whose texts something may have
#: been done; their texts may be long, so fewer are looked at at a glance.
MOST_FIELDS, MOST_CHANGED, CHANGED_GLANCE = 3, 2, 4
#: Of two that fit, the better one has so many strangers less, or is nearer by so much.
FEW, AS_GOOD_AS_EQUAL = 0.05, 1e-4
#: A collection of so few rows is read; of a larger one rows are searched for.
FEW_ROWS, MOST_ROWS = 2_000, 500
#: What directions are multiplied with, to lie far outside of vectors of length one or ten.
_FAR = np.float32(100)
#: Rows looked at near each direction, so that enough of them have a text.
_NEAREST = 5


class Asked(NamedTuple):
    """What the model is asked about: a recipe, and what is put before its texts."""

    recipe: Recipe
    prefix: str = ""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A recipe, and how near the vectors of its texts are to the stored ones."""

    recipe: Recipe
    verdict: Verdict
    #: What was put before each text for the model: no part of the text, another one wants another.
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.recipe} with {self.prefix!r} before it" if self.prefix else str(self.recipe)

    @property
    def fits(self) -> bool:
        return bool(self.verdict.cosines) and self.verdict.passed

    def explains_more(self, other: Candidate) -> bool:
        """Whether what it fits is more than ``other`` does, of which it is a variant."""
        return self.fits and self.verdict.explained > other.verdict.explained

    def fits_like(self, best: Candidate) -> bool:
        """Whether the stored vectors do not tell it from the best: what is nearer was embedded."""
        share, least = self.verdict.share_of_strangers, best.verdict.share_of_strangers
        noise = 2 * (1 - min(self.verdict.echoes, default=1.0)) + AS_GOOD_AS_EQUAL
        return share - least <= FEW and self._kinship >= best._kinship - noise

    @property
    def nearness(self) -> tuple[bool, float, float]:
        """What ranks it: the higher the nearer."""
        judged, median = bool(self.verdict.cosines), self.verdict.median
        return judged, round(median, 6), round(self._kinship, 5)

    @property
    def _kinship(self) -> float:
        """Mean cosine of those that are of their text; of all where none is."""
        cosines = self.verdict.cosines.values()
        fitting = [value for value in cosines if value >= self.verdict.threshold]
        return float(np.mean(fitting or list(cosines))) if cosines else 0.0


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
        """Those that no other fits better.

        Each once of those whose texts differ in white space alone, which models overlook.
        """
        all_fitting = [candidate for candidate in self.candidates if candidate.fits]
        by_words: dict[tuple[tuple[str, ...], ...], Candidate] = {}
        fields: list[Candidate] = []
        for candidate in all_fitting:
            if not all(candidate.fits_like(other) for other in all_fitting):
                continue
            if isinstance(candidate.recipe, FieldRecipe):
                fields.append(candidate)
            else:
                texts = (candidate.recipe.text_of(row.fields) for row in self.rows)
                words = tuple(tuple(text.split()) for text in texts)
                by_words.setdefault(words, candidate)
        return [*fields, *by_words.values()]


def diagnose(work: Work, embedding: EmbeddingRef, schema: CollectionSchema) -> Diagnosis:
    """Ask the model which text gives the stored vectors; of a table's only one that is stated.

    Raises:
        InvalidConfiguration: the model cannot be asked.
        VectorStoreUnavailable: among others because the collection is not loaded.
    """
    vectors = work.services.vectors
    if not vectors.count(schema.name):
        return Diagnosis([], [])
    search = _Search(Questions(work, embedding, "registration"), all_over(vectors, schema))
    found = search.found(schema)
    return Diagnosis(search.rows, found, search.questions.tokens)


def judge_recipe(
    work: Work, embedding: EmbeddingRef, schema: CollectionSchema, recipe: Recipe
) -> Candidate:
    """How near one recipe comes that somebody states. Raises as :func:`diagnose`."""
    schema = read_with_texts(schema, recipe)
    search = _Search(
        Questions(work, embedding, "registration"), all_over(work.services.vectors, schema)
    )
    (judged,) = search.by_the_models_own(search.ranked([Asked(recipe)]))
    return judged


@dataclass(frozen=True)
class _Search:
    """Which of some recipes gives the vectors of ``rows``."""

    questions: Questions
    rows: Sequence[Chunk]

    def found(self, schema: CollectionSchema) -> list[Candidate]:
        """All that was tried, the best first."""
        in_a_table = [Asked(schema.look_up.recipe)] if schema.look_up else []
        fields = in_a_table + [Asked(recipe) for recipe in fields_of_text(schema, self.rows)]
        found = self.by_the_models_own(self.ranked(fields))
        if self._is_explained(found):
            return found
        round_them = [Asked(recipe) for recipe in put_round(schema, self.rows, self._near(found))]
        found = _best_first([*found, *self.ranked(round_them)])
        if self._is_explained(found):
            return found
        better = self._better_ones(found)
        return _best_first([better.get(one, one) for one in found])

    def _near(self, found: Sequence[Candidate]) -> list[str]:
        """Fields round which something may have been put."""
        fields = [(c.recipe.field, c.verdict) for c in found if isinstance(c.recipe, FieldRecipe)]
        if not fields:
            return []
        best = fields[0][1].median
        near = [name for name, verdict in fields if verdict.median > best - FAR_BEHIND]
        return list(
            dict.fromkeys(
                [*near[:MOST_FIELDS], *(name for name, _ in fields if says(SAY_TEXT, name))]
            )
        )

    def _better_ones(self, found: Sequence[Candidate]) -> dict[Candidate, Candidate]:
        """With whose texts something was done, and what; fields first, since they say the least."""
        better: dict[Candidate, Candidate] = {}
        judged = [one for one in found if one.verdict.cosines]
        fields = [one for one in judged if isinstance(one.recipe, FieldRecipe)]
        others = [one for one in judged if one not in fields]
        too_long = [one for one in found if not one.verdict.cosines]
        for one in (part for each in (fields, too_long, others) for part in each[:MOST_CHANGED]):
            best = self._better(one)
            if best is not None:
                better[one] = best
                if self._is_explained([best]):
                    break
        return better

    def _is_explained(self, found: Sequence[Candidate]) -> bool:
        """Whether the best one gives the vector of each row that has a text."""
        if not found:
            return True
        best = found[0]
        with_text = len(self._some(best.recipe, SAMPLE))
        return best.fits and not best.verdict.strangers and len(best.verdict.cosines) == with_text

    def _better(self, candidate: Candidate) -> Candidate | None:
        """The best of what may have been done with its texts, if that explains more."""
        explained = candidate.verdict.cosines.keys() - set(candidate.verdict.strangers)
        unexplained_first = sorted(self.rows, key=lambda row: row.key in explained)
        few = replace(self, rows=unexplained_first)
        # Before what is in a role already nobody puts another one.
        prefixes = PREFIXES if self.questions.ref.document_role.is_plain else ()
        tried = [Asked(candidate.recipe, prefix) for prefix in prefixes]
        tried += [Asked(recipe) for recipe in self._changes(candidate.recipe)]
        ranked = few.ranked(tried, CHANGED_GLANCE, MOST_CHANGED)
        best = max(ranked, key=lambda one: one.verdict.explained)  # the first of several
        return best if best.explains_more(candidate) else None

    def _changes(self, recipe: Recipe) -> list[Recipe]:
        embedders, ref = self.questions.work.services.embedders, self.questions.ref
        longest = max((recipe.text_of(row.fields) for row in self.rows), key=len)
        tokens = embedders.count_tokens(ref.provider, ref.model, longest)
        info = embedders.known(ref.provider, ref.model)
        return done_with(recipe, len(longest), tokens, info.max_input_tokens if info else None)

    def ranked(
        self, suggested: Sequence[Asked], glance: int = GLANCE, most: int = MOST_FINALISTS
    ) -> list[Candidate]:
        """The best first; those that lag far behind after a glance are not asked about further."""
        if len(suggested) <= 1 or len(self.rows) <= glance:
            return _best_first([self.judged(asked, SAMPLE) for asked in suggested])
        glanced = [(self.judged(asked, glance), asked) for asked in suggested]
        glanced.sort(key=lambda pair: pair[0].nearness, reverse=True)
        best = glanced[0][0].verdict.median
        near = [a for c, a in glanced if c.verdict.cosines and c.verdict.median > best - BEHIND]
        finalists = near[:most]
        judged = [self.judged(asked, SAMPLE) for asked in finalists]
        return _best_first([*judged, *(c for c, asked in glanced if asked not in finalists)])

    def judged(self, asked: Asked, most: int) -> Candidate:
        recipe, prefix = asked.recipe, asked.prefix
        try:
            verdict = self.questions.judged(self._some(recipe, most), recipe, prefix)
        except TextRefused:  # says something of these texts, and nothing of other candidates'
            verdict = Verdict({}, made=False)
        except PROVIDER_FAULTS as error:
            raise self._cannot_ask(error) from error
        return Candidate(recipe, verdict, prefix)

    def by_the_models_own(self, ranked: Sequence[Candidate]) -> list[Candidate]:
        """By how alike the model answers to the texts of the best one, when it is asked twice."""
        if not ranked or not ranked[0].verdict.cosines:
            return list(ranked)
        first = ranked[0]
        try:
            best = self.questions.by_its_own(self.rows, first.recipe, first.verdict, first.prefix)
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


def all_over(vectors: VectorStore, schema: CollectionSchema) -> list[Chunk]:
    """Rows from all over the collection, with their vectors; any of few, in no order."""
    now = vectors.moment()
    if vectors.count(schema.name, as_of=now) <= FEW_ROWS:
        keys = [chunk.key for page in vectors.scan(schema, as_of=now) for chunk in page]
        np.random.default_rng(0).shuffle(keys)
        keys = keys[:MOST_ROWS]
    else:
        keys = _near_directions(vectors, schema, now)
    found = {c.key: c for c in vectors.fetch(schema, keys, with_vectors=True, as_of=now)}
    return [found[key] for key in keys if key in found]


def _near_directions(vectors: VectorStore, schema: CollectionSchema, now: Moment) -> list[Key]:
    """Those nearest to directions that are drawn by lot.

    One search, however many rows there are; keys in order would have to be read to the
    end. Searched from far outside, every metric means the direction, if lengths differ by
    little: from nearby, the shortest vectors would be nearest to most by L2.
    """
    drawn = np.random.default_rng(0).standard_normal((SAMPLE, schema.dimension), dtype=np.float32)
    answers = vectors.search(schema, _FAR * drawn, limit=_NEAREST, output_fields=[], as_of=now)
    by_rank = (hit for rank in zip_longest(*answers) for hit in rank if hit is not None)
    return list(dict.fromkeys(hit.key for hit in by_rank))


def _best_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: candidate.nearness, reverse=True)
