"""Verification, levels two and three: right vectors, and answers as good as before.

Known-item recall@k: the share of sampled chunks whose own text, embedded as a
query, finds them (or a chunk of equal text) among the first k results. The
measure is that of known-item search as TREC used it; it needs no labels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from migrations.chunks import Chunk, CollectionSchema, Hit, Key, Vectors, stacked
from migrations.embedding import embed
from migrations.ports import Moment
from migrations.results import Report
from migrations.run import Run

#: Two embeddings of one text by one model may differ in the last bits; a vector
#: of another text or model is far below this.
SAME_VECTOR_COSINE = 0.999


class KeySample:
    """A uniform reservoir sample (Vitter's algorithm R), the same for the same run and keys."""

    def __init__(self, run: Run) -> None:
        self.keys: list[Key] = []
        self._wanted = run.services.settings.verify_sample
        self._chooser = random.Random(run.migration.id.int)  # noqa: S311 # no secret
        self._seen = 0

    def add(self, key: Key) -> None:
        self._seen += 1
        if len(self.keys) < self._wanted:
            self.keys.append(key)
        elif (place := self._chooser.randrange(self._seen)) < self._wanted:
            self.keys[place] = key


def sample_chunks(run: Run, keys: Sequence[Key], as_of: Moment) -> list[Chunk]:
    """Those chunks of the target that exist, with their vectors."""
    return run.services.vectors.fetch(run.target, keys, with_vectors=True, as_of=as_of)


def check_vectors(run: Run, sample: Sequence[Chunk], report: Report) -> Vectors:
    """Stored vectors are finite, non-zero, of the right dimension, and of their own text.

    Returns:
        The sample embedded again, float32 of shape (len(sample), dimension).
    """
    dimension = run.migration.config.to_dimension
    stored = stacked(sample, dimension)
    well_formed = bool(
        stored.shape[1] == dimension
        and np.isfinite(stored).all()
        and (np.linalg.norm(stored, axis=1) > 0).all()
    )
    report.add(
        "vectors",
        well_formed,
        f"{len(sample)} sampled vectors: {dimension} dimensions, finite and non-zero."
        if well_formed
        else f"Sampled vectors are not all finite, non-zero and of {dimension} dimensions.",
    )
    outcome = _embed_again(run, sample)
    alike = (
        cosine(stored, outcome) if well_formed and len(sample) else np.empty(0, dtype=np.float32)
    )
    wrong = [
        str(c.key) for c, value in zip(sample, alike, strict=False) if value < SAME_VECTOR_COSINE
    ]
    report.add(
        "vectors_of_their_text",
        not wrong,
        f"{len(alike) - len(wrong)} of {len(alike)} sampled vectors are of their own text.",
        lowest_cosine=float(alike.min()) if len(alike) else None,
        examples=wrong[:10],
    )
    return outcome


def _embed_again(run: Run, sample: Sequence[Chunk]) -> Vectors:
    vectors = np.zeros((len(sample), run.migration.config.to_dimension), dtype=np.float32)
    place = {chunk.key: i for i, chunk in enumerate(sample)}
    size = run.migration.config.batch_size
    for start in range(0, len(sample), size):
        outcome = embed(run, sample[start : start + size], purpose="verification")
        for chunk, vector in zip(outcome.chunks, outcome.vectors, strict=True):
            vectors[place[chunk.key]] = vector
    return vectors


def cosine(a: Vectors, b: Vectors) -> Vectors:
    """Row by row; 0 where a row is zero."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = np.einsum("ij,ij->i", a, b)
    quotients: Vectors = np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)
    return quotients


def check_retrieval(
    run: Run, sample: Sequence[Chunk], again: Vectors, as_of: Moment, report: Report
) -> None:
    """Ask old and new for the sampled chunks by their own text and compare the answers."""
    if not sample:
        report.add("retrieval", True, "The collection is empty; there is nothing to ask it.")
        return
    k = run.services.settings.recall_at
    vectors, keys = run.services.vectors, [chunk.key for chunk in sample]
    olds = {c.key: c for c in vectors.fetch(run.source, keys, with_vectors=True, as_of=as_of)}
    both = [(c, i) for i, c in enumerate(sample) if c.key in olds]
    queries = stacked([olds[c.key] for c, _ in both], run.source.dimension)
    old_hits = _ask(run, run.source, queries, k, as_of)
    new_hits = _ask(run, run.target, again[[i for _, i in both]], k, as_of)
    chunks = [c for c, _ in both]
    old, new = _recall(run, chunks, old_hits), _recall(run, chunks, new_hits)
    floor = run.services.settings.min_known_item_recall * old
    report.add(
        "retrieval",
        new >= floor,
        f"Known-item recall@{k}: {old:.3f} before, {new:.3f} after (at least {floor:.3f} wanted).",
        recall_before=old,
        recall_after=new,
        overlap=_overlap(old_hits, new_hits),
        queries=len(chunks),
        k=k,
    )


def _ask(
    run: Run, schema: CollectionSchema, queries: Vectors, k: int, as_of: Moment
) -> list[list[Hit]]:
    hits: list[list[Hit]] = []
    for start in range(0, len(queries), 100):
        run.check()
        hits += run.services.vectors.search(
            schema,
            queries[start : start + 100],
            limit=k,
            output_fields=[run.bot.text_field],
            as_of=as_of,
        )
    return hits


def _recall(run: Run, chunks: Sequence[Chunk], answers: Sequence[Sequence[Hit]]) -> float:
    found = 0
    for chunk, hits in zip(chunks, answers, strict=True):
        text = run.text_of(chunk)
        found += any(h.key == chunk.key or h.fields.get(run.bot.text_field) == text for h in hits)
    return found / len(chunks) if chunks else 1.0


def _overlap(old: Sequence[Sequence[Hit]], new: Sequence[Sequence[Hit]]) -> float:
    """Mean share of the old results that the new ones contain too."""
    shares = [
        len({h.key for h in a} & {h.key for h in b}) / len(a)
        for a, b in zip(old, new, strict=True)
        if a
    ]
    return float(np.mean(shares)) if shares else 1.0
