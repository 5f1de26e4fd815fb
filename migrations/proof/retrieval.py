"""Does the new collection answer as well as the old one?

Known-item recall@k: the share of sampled chunks whose own text, embedded as a
query, finds them among the first k results. The measure is that of known-item
search as TREC used it; it needs no labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from migrations.embedding.asking import Vector
from migrations.model.chunks import Chunk, Hit, Key
from migrations.model.report import Report
from migrations.model.texts import Recipe
from migrations.ports.vector_store import Moment
from migrations.proof.as_questions import as_questions
from migrations.proof.gates import judge_share
from migrations.proof.questions import Pair, ask, share_found
from migrations.run.run import Run

#: With fewer of the sampled chunks that have a text of their own, a warning says so.
DISTINCT_ENOUGH = 0.5


@dataclass(frozen=True)
class Answered:
    """A chunk that both collections were asked for."""

    key: Key
    text: str
    old: Sequence[Hit]
    new: Sequence[Hit]

    def has_a_double(self, recipe: Recipe) -> bool:
        """Whether a result is another chunk of the same text."""
        return any(
            hit.key != self.key and recipe.text_of(hit.fields) == self.text
            for hit in (*self.old, *self.new)
        )


def judge_retrieval(
    run: Run,
    sample: Sequence[Chunk],
    pairs: Sequence[Pair],
    again: Mapping[Key, Vector],
    at_random: Collection[Key],
    as_of: Moment,
    report: Report,
) -> list[Answered]:
    """Ask the new one for the sampled chunks by their own text, and compare the answers.

    The old one was asked with the vectors that it holds of them, unless its model wants
    questions otherwise than documents. Those of ``at_random`` speak for the whole collection.

    Returns:
        All that have a text of their own.
    """
    if not sample:
        report.add("retrieval", True, "The collection is empty; there is nothing to ask it.")
        return []
    answered = _asked(run, sample, pairs, again, run.services.settings.recall_at, as_of)
    texts = Counter(one.text for one in answered)
    recipe = run.bot.recipe
    own = [one for one in answered if texts[one.text] == 1 and not one.has_a_double(recipe)]
    _judge(
        run,
        sum(chunk.key in at_random for chunk in sample),
        [one for one in answered if one.key in at_random],
        [one for one in own if one.key in at_random],
        report,
    )
    return own


def _judge(
    run: Run,
    sampled: int,
    answered: Sequence[Answered],
    asked: Sequence[Answered],
    report: Report,
) -> None:
    """``asked`` are those of ``answered`` that have a text of their own."""
    k = run.services.settings.recall_at
    left_out = len(answered) - len(asked)
    distinct = len({one.text for one in answered}) / len(answered) if answered else 1.0
    if not asked:
        _report_nothing_asked(run, sampled, distinct, report)
        return
    if len(asked) < DISTINCT_ENOUGH * len(answered):
        report.add(
            "distinct_texts",
            False,
            f"Only {len(asked)} of {len(answered)} sampled chunks have a text of their own; "
            "the answers were compared for these alone.",
            severity="warning",
        )
    old = share_found((one.key, one.old) for one in asked)
    new = share_found((one.key, one.new) for one in asked)
    judge_share(
        run,
        report,
        "retrieval",
        "recall",
        new,
        f"Known-item recall@{k}: {old:.3f} before, {new:.3f} after."
        + (
            f" {left_out} of {len(answered)} sampled chunks share their text with another and were "
            f"not asked for; {distinct:.0%} of the texts are distinct."
            if left_out
            else ""
        ),
        of=old,
        recall_before=old,
        recall_after=new,
        overlap=_overlap(asked),
        queries=len(asked),
        left_out=left_out,
        distinct_texts=distinct,
        k=k,
    )


def _report_nothing_asked(run: Run, sampled: int, distinct: float, report: Report) -> None:
    """Nothing is switched unjudged; the way back was judged when the bot went there."""
    fails = sampled > 1 and not run.migration.target_is_kept
    report.add(
        "retrieval",
        False,
        f"None of {sampled} sampled chunks has a text of its own ({distinct:.0%} of the texts are "
        "distinct), so whether the target answers as well cannot be judged."
        + (" If the texts are right, start with verify_migration false." if fails else ""),
        severity="error" if fails else "warning",
        queries=0,
        left_out=sampled,
        distinct_texts=distinct,
    )


def _asked(
    run: Run,
    sample: Sequence[Chunk],
    pairs: Sequence[Pair],
    again: Mapping[Key, Vector],
    k: int,
    as_of: Moment,
) -> list[Answered]:
    """The sampled chunks that both hold and whose text has a vector, with the answers."""
    wanted = [pair for pair in pairs if pair.key in again]
    if not wanted:
        return []
    texts = {chunk.key: run.text_of(chunk) for chunk in sample}
    asked = {pair.key: texts[pair.key] for pair in wanted}
    config = run.migration.config
    stored = {pair.key: pair.old_vector for pair in wanted}
    old = as_questions(run, config.source, asked, stored, may_be_gone=True)
    new = as_questions(run, config.target, asked, {key: again[key] for key in asked})
    both = [pair for pair in wanted if pair.key in old and pair.key in new]
    if not both:
        return []
    old_hits: Sequence[Sequence[Hit]] = [pair.old[:k] for pair in both]
    if old is not stored:  # with those it was asked already
        old_hits = ask(run, run.source, np.stack([old[pair.key] for pair in both]), k, as_of)
    new_hits = ask(run, run.target, np.stack([new[pair.key] for pair in both]), k, as_of)
    return [
        Answered(pair.key, texts[pair.key], before, after)
        for pair, before, after in zip(both, old_hits, new_hits, strict=True)
    ]


def _overlap(asked: Sequence[Answered]) -> float:
    """Mean share of the old results that the new ones contain too."""
    shares = [
        len({hit.key for hit in one.old} & {hit.key for hit in one.new}) / len(one.old)
        for one in asked
        if one.old
    ]
    return float(np.mean(shares)) if shares else 1.0
