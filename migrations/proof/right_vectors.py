"""Are the vectors of their texts?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from migrations.copying.lasting import MOST_LOOKED_AT
from migrations.embedding.asking import Vector
from migrations.embedding.embed import embed
from migrations.model.chunks import Chunk, Key, stacked, vector_of
from migrations.model.looked_up import is_of_known_text
from migrations.model.report import Report
from migrations.model.runs import LONGEST_INPUT
from migrations.ports.vector_store import Moment
from migrations.proof.fidelity import (
    Questions,
    Verdict,
    as_before,
    echoes_of,
    judge,
    judgeable,
    threshold_by,
    threshold_of_made,
)
from migrations.proof.lengths import minds_lengths, report_lengths
from migrations.proof.reservoir import Reservoir
from migrations.run.run import Run

#: What two embeddings of one text may differ by in length.
SAME_LENGTH = 0.01


class KeySample(Reservoir):
    """As many keys as are to be verified, the same for the same run and keys."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.services.settings.verify_sample, seed=run.migration.id.int)


def sample_chunks(run: Run, keys: Sequence[Key], as_of: Moment) -> list[Chunk]:
    """Those chunks of the target that exist, with their vectors.

    Without those whose text stands elsewhere and has changed since: they are caught up.
    """
    found = run.services.vectors.fetch(run.target, keys, with_vectors=True, as_of=as_of)
    return [chunk for chunk in found if is_of_known_text(chunk)]


def judge_vectors(
    run: Run, sample: Sequence[Chunk], at_random: Collection[Key], report: Report
) -> dict[Key, Vector]:
    """Stored vectors are finite, non-zero, of the right dimension, and of their own text.

    Those of ``at_random`` were chosen from all, the others because they are of a slice.

    Returns:
        The vectors of the texts by the target's model, for the questions of
        :func:`judge_retrieval`: without those that the model refuses or that may have been
        cut otherwise, and on a way back without those that the kept collection's vectors
        never were of.
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
        sampled=len(sample),
        at_random=sum(chunk.key in at_random for chunk in sample),
    )
    kept = run.migration.target_is_kept
    if not kept:
        agreed = run.migration.config.vector_lengths
        vectors = [chunk.vector for chunk in sample if chunk.vector is not None]
        report_lengths(report, run.target, before=[], after=vectors, agreed=agreed)
    judged = _kept_whole(run, sample) if kept else _surely_whole(run, sample)
    again = _ask_as_before(run, judged) if kept else _embed_again(run, sample)
    verdict = (_judge_kept if kept else _judge_made)(run, judged if well_formed else [], again)
    strangers = verdict.strangers
    report.add(
        "vectors_of_their_text",
        not strangers,
        f"{len(verdict.cosines) - len(strangers)} of {len(verdict.cosines)} sampled vectors are of "
        "their own text"
        + (", as it was before the switch." if kept and strangers and verdict.passed else ".")
        + _not_judged(len(sample) - len(judged)),
        severity=verdict.severity,
        lowest_cosine=min(verdict.cosines.values(), default=None),
        median_cosine=verdict.median,
        threshold=verdict.threshold,
        examples=[str(key) for key in strangers[:10]],
    )
    if not kept and well_formed:
        _judge_lengths(run, judged, again, report)
    asked = verdict.cosines.keys() - set(strangers) if kept else {c.key for c in judged or sample}
    return {key: again[key] for key in asked & again.keys()}


def _judge_made(run: Run, chunks: Sequence[Chunk], again: Mapping[Key, Vector]) -> Verdict:
    """Of what the run has made; where some seem to be strangers, the model is asked twice."""
    verdict = judge(chunks, again, made=True, threshold=threshold_by(run.services.settings))
    if not verdict.strangers:
        return verdict
    answers = {run.text_of(c): again[c.key] for c in chunks if c.key in again}
    target = run.migration.config.target
    echoes, _ = echoes_of(run, target, answers, "verification", insist=True)
    least = threshold_of_made(run.services.settings, echoes)
    return replace(verdict, threshold=least, echoes=echoes)


def _judge_kept(run: Run, chunks: Sequence[Chunk], again: Mapping[Key, Vector]) -> Verdict:
    """What was there before: by what was found when the bot left it.

    What this run has written to it must be of its text, each one, as in any other target,
    unless this run and the application may have cut it at different places.
    """
    store, migration = run.services.store, run.migration
    written = {row.key for row in store.written_rows(migration.id, MOST_LOOKED_AT)}
    cuts = run.bot.recipe.first_tokens or run.bot.recipe.split_tokens
    mine = [] if cuts else [chunk for chunk in chunks if chunk.key in written]
    of_mine = _judge_made(run, mine, again)
    if not of_mine.passed:
        return of_mine
    left = store.migration(migration.reverses) if migration.reverses else None
    before = left.proof if left else None
    least = before.threshold if before else None
    verdict = judge(
        chunks,
        again,
        made=False,
        threshold=threshold_by(run.services.settings) if least is None else least,
    )
    return replace(verdict, too_many=as_before(before.share_of_strangers if before else 0.0))


def _judge_lengths(
    run: Run, chunks: Sequence[Chunk], again: Mapping[Key, Vector], report: Report
) -> None:
    """Where the metric looks at lengths, a vector of another length is another vector."""
    if not minds_lengths(run.target):
        return
    ratios = {
        chunk.key: float(np.linalg.norm(vector_of(chunk)) / np.linalg.norm(again[chunk.key]))
        for chunk in chunks
        if chunk.key in again
    }
    others = [key for key, ratio in ratios.items() if not abs(ratio - 1) <= SAME_LENGTH]
    report.add(
        "lengths",
        not others,
        f"{len(ratios) - len(others)} of {len(ratios)} sampled vectors have the length that the "
        f"model gives them; {run.target.metric} looks at it.",
        shortest=min(ratios.values(), default=None),
        longest=max(ratios.values(), default=None),
        examples=[str(key) for key in others[:10]],
    )


def _kept_whole(run: Run, sample: Sequence[Chunk]) -> list[Chunk]:
    target = run.migration.config.target
    return judgeable(run.services.embedders, target, sample, run.bot.recipe)


def _ask_as_before(run: Run, chunks: Sequence[Chunk]) -> dict[Key, Vector]:
    """As the application has asked the model that the bot goes back to."""
    questions = Questions(run, run.migration.config.target, "verification", insist=True)
    return questions.vectors_of(chunks, run.bot.recipe)


def _surely_whole(run: Run, sample: Sequence[Chunk]) -> Sequence[Chunk]:
    """Without those that were perhaps cut where another worker found that the model takes them."""
    totals = run.services.store.migration(run.migration.id).totals  # also what was learned just now
    if LONGEST_INPUT not in totals:
        return sample
    embedders, target = run.services.embedders, run.migration.config.target
    return judgeable(embedders, target, sample, run.bot.recipe, totals[LONGEST_INPUT])


def _not_judged(chunks: int) -> str:
    return f" {chunks} more were shortened or may have been, and were not judged." if chunks else ""


def _embed_again(run: Run, sample: Sequence[Chunk]) -> dict[Key, Vector]:
    again: dict[Key, Vector] = {}
    size = run.migration.config.batch_size
    for start in range(0, len(sample), size):
        outcome = embed(run, sample[start : start + size], purpose="verification")
        again |= {c.key: v for c, v in zip(outcome.chunks, outcome.vectors, strict=True)}
    return again
