"""Asking both collections the same: by vectors that are stored, or by questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from migrations.embedding.asking import Vector
from migrations.embedding.embed import embed_queries
from migrations.model.chunks import (
    Chunk,
    CollectionSchema,
    Hit,
    Key,
    Vectors,
    stacked,
    vector_of,
)
from migrations.model.config import EmbeddingRef
from migrations.model.errors import ProviderUnavailable
from migrations.ports.vector_store import Moment
from migrations.run.run import Run

#: Vectors sent in one search.
AT_ONCE = 100
#: What the ledger says that questions are for.
QUESTIONS = "questions"


@dataclass(frozen=True)
class Pair:
    """A row as both collections hold it, and what they show to its stored vectors.

    Each is asked for one more than the ``recall_at`` that are looked at: the row itself is
    among them.
    """

    key: Key
    old_vector: Vector
    new_vector: Vector
    old: Sequence[Hit]
    new: Sequence[Hit]


def ask_with_stored(run: Run, sample: Sequence[Chunk], as_of: Moment) -> list[Pair]:
    """The sampled chunks of the target that the source holds too, by their stored vectors.

    One whose vector is no vector in the target (not finite, or zero) has no answer there.
    """
    keys = [chunk.key for chunk in sample]
    olds = run.services.vectors.fetch(run.source, keys, with_vectors=True, as_of=as_of)
    if not olds:
        return []
    k = run.services.settings.recall_at + 1
    mine = {chunk.key: chunk for chunk in sample}
    news = [mine[chunk.key] for chunk in olds]
    old_hits = ask(run, run.source, stacked(olds, run.source.dimension), k, as_of)
    new_hits = _ask_for_well_formed(run, news, k, as_of)
    return [
        Pair(old.key, vector_of(old), vector_of(new), hits, new_hits.get(old.key, []))
        for old, new, hits in zip(olds, news, old_hits, strict=True)
    ]


def _ask_for_well_formed(
    run: Run, chunks: Sequence[Chunk], k: int, as_of: Moment
) -> Mapping[Key, Sequence[Hit]]:
    asked = [c for c in chunks if np.isfinite(vector_of(c)).all() and np.any(vector_of(c))]
    hits = ask(run, run.target, stacked(asked, run.target.dimension), k, as_of)
    return {chunk.key: found for chunk, found in zip(asked, hits, strict=True)}


def ask(
    run: Run, schema: CollectionSchema, queries: Vectors, k: int, as_of: Moment
) -> list[list[Hit]]:
    """The ``k`` nearest of each; ``queries`` has shape (questions, dimension)."""
    hits: list[list[Hit]] = []
    for start in range(0, len(queries), AT_ONCE):
        run.must_go_on()
        hits += run.services.vectors.search(
            schema,
            queries[start : start + AT_ONCE],
            limit=k,
            output_fields=run.bot.recipe.fields,
            as_of=as_of,
        )
    return hits


def share_found(answers: Iterable[tuple[Key, Sequence[Hit]]]) -> float:
    """Of (key that was asked for, what was found), how many are among what was found."""
    return float(np.mean([any(hit.key == key for hit in hits) for key, hits in answers]))


def embed_questions(
    run: Run, ref: EmbeddingRef, questions: Iterable[str], *, insist: bool
) -> dict[str, Vector]:
    """The one place where questions become vectors, as an application's questions do.

    One that the model refuses has none. Without ``insist`` a model that does not answer soon
    is given up: the old one may be gone. Of one that is said to be gone nothing is asked.

    Raises:
        what ends the run; without ``insist`` also :data:`PROVIDER_FAULTS`.
    """
    config = run.migration.config
    if config.old_model_gone and ref == config.source:
        raise ProviderUnavailable("It is gone, as was said at the start.")
    return embed_queries(run, ref, questions, QUESTIONS, insist=insist).vectors
