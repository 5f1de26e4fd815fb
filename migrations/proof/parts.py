"""Questions that are no text of the collection: parts of texts, asked of both sides.

A text finds itself with nearly any model. Half of it, out of its middle, is nearer to what a
user asks; and it is asked of the old collection with the old model, so that what is found now
is compared with what was found before, and so are the scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from migrations.embedding.asking import Vector
from migrations.model.chunks import Chunk, Hit, Key
from migrations.model.questions import part_of
from migrations.model.report import Report
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.ports.vector_store import Moment
from migrations.proof.gates import judge_share
from migrations.proof.questions import ask, embed_questions, share_found
from migrations.proof.scores import report_scores
from migrations.run.run import Run

#: With fewer questions a share says nothing.
FEWEST = 10
#: Where the old collection finds no more above chance, finding as little says nothing either.
FOUND_BEFORE = 0.3


@dataclass(frozen=True)
class _Asked:
    key: Key
    old: Sequence[Hit]
    new: Sequence[Hit]


def judge_parts(
    run: Run, sample: Sequence[Chunk], rows: int, as_of: Moment, report: Report
) -> None:
    """Ask both collections for sampled chunks by a part of their text, each with its own model.

    ``rows`` is how many the source holds.
    """
    parts = parts_of(run, sample)
    if not parts:
        _not_asked(report, "No sampled text is long enough for a part of it to be asked for.")
        return
    config = run.migration.config
    try:
        old = embed_questions(run, config.source, parts.values(), insist=False)
    except PROVIDER_FAULTS as error:
        _not_asked(report, f"The old model does not answer: {error.message}")
        return
    new = embed_questions(run, config.target, parts.values(), insist=True)
    asked = run.patiently(lambda: _ask_both(run, parts, old, new, as_of))
    if not asked:
        _not_asked(report, "Neither model takes any of the parts.")
        return
    _judge(run, asked, rows, report)
    hits_before, hits_after = [one.old for one in asked], [one.new for one in asked]
    report_scores(report, hits_before, hits_after, smaller_is_better=run.source.metric == "L2")


def _judge(run: Run, asked: Sequence[_Asked], rows: int, report: Report) -> None:
    k = run.services.settings.recall_at
    before = share_found((one.key, one.old) for one in asked)
    after = share_found((one.key, one.new) for one in asked)
    told = f"Asked with a part of their text, {before:.1%} of {len(asked)} chunks are among the "
    told += f"first {k} in the old collection, {after:.1%} in the new one."
    figures: dict[str, Any] = {
        "recall_before": before,
        "recall_after": after,
        "questions": len(asked),
        "k": k,
    }
    if len(asked) < FEWEST:
        report.add("parts_of_texts", True, f"{told} So few say nothing.", **figures)
    elif before - min(1.0, k / rows) < FOUND_BEFORE:
        report.add("parts_of_texts", True, f"{told} So little before says nothing.", **figures)
    else:
        judge_share(run, report, "parts_of_texts", "part_recall", after, told, of=before, **figures)


def parts_of(run: Run, sample: Sequence[Chunk]) -> dict[Key, str]:
    """A part of each text that no other sampled chunk has, of ``verify_questions`` at the most."""
    texts = {chunk.key: run.text_of(chunk) for chunk in sample}
    times = Counter(texts.values())
    found = ((key, part_of(text)) for key, text in texts.items() if times[text] == 1)
    long_enough = ((key, part) for key, part in found if part is not None)
    return dict(islice(long_enough, run.services.settings.verify_questions))


def _ask_both(
    run: Run,
    parts: Mapping[Key, str],
    old: Mapping[str, Vector],
    new: Mapping[str, Vector],
    as_of: Moment,
) -> list[_Asked]:
    """Without those that either model refuses."""
    asked = {key: part for key, part in parts.items() if part in old and part in new}
    if not asked:
        return []
    k = run.services.settings.recall_at
    before = ask(run, run.source, np.stack([old[p] for p in asked.values()]), k, as_of)
    after = ask(run, run.target, np.stack([new[p] for p in asked.values()]), k, as_of)
    return [_Asked(key, o, n) for key, o, n in zip(asked, before, after, strict=True)]


def _not_asked(report: Report, why: str) -> None:
    report.add("parts_of_texts", True, f"Parts of texts were not asked for. {why}", questions=0)
