"""Are the same rows near each other as before? Told by stored vectors, without any model.

Other checks embed the text that the recipe makes and ask both sides with it: where the recipe
names a wrong column, both agree and nothing is noticed. Here nothing is embedded. What the
application had stored for a row is asked of the old collection, what the run has stored for it
of the new one, and the nearest rows are compared. A target that was filled with something else
shows neighbours as they come by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from migrations.embedding.asking import Vector
from migrations.model.chunks import Hit, Key
from migrations.model.report import Report
from migrations.proof.gates import judge_share
from migrations.proof.questions import Pair
from migrations.run.run import Run

#: Where the neighbours are more than this share of all rows, chance gives too many of them.
MOST_OF_ALL = 0.2
#: With fewer rows to compare, a share says nothing.
FEWEST = 20
#: Scores that differ by no more are of equal vectors.
SAME_SCORE = 1e-6


def judge_neighbourhoods(run: Run, pairs: Sequence[Pair], rows: int, report: Report) -> None:
    """Compare the nearest rows by stored vectors; ``rows`` is how many the source holds."""
    _judge_distinct(run, pairs, report)
    k = run.services.settings.recall_at
    chance = k / (rows - 1) if rows > 1 else 1.0
    if chance > MOST_OF_ALL:
        _not_judged(report, f"Of {rows} rows each is near every other.", rows=rows)
        return
    shares = overlaps(pairs, k)
    left_out = len(pairs) - len(shares)
    if len(shares) < FEWEST:
        told = f"Only {len(shares)} sampled rows have a vector of their own."
        _not_judged(report, told, rows=rows, left_out=left_out)
        return
    mean = float(np.mean(shares))
    above = max(0.0, (mean - chance) / (1 - chance))
    judge_share(
        run,
        report,
        "neighbourhoods",
        "neighbourhood_overlap",
        above,
        f"Of the {k} rows nearest to a row by stored vectors, {mean:.1%} are the same in both "
        f"collections ({len(shares)} of {rows} rows sampled); chance would give {chance:.1%}, so "
        f"{above:.3f} of what it does not.",
        overlap=round(mean, 4),
        chance=round(chance, 4),
        k=k,
        compared=len(shares),
        left_out=left_out,
        histogram=_histogram(shares),
    )


def _judge_distinct(run: Run, pairs: Sequence[Pair], report: Report) -> None:
    """A column with few values gives few vectors, however many rows there are."""
    if len(pairs) < FEWEST:
        return
    old = _distinct([pair.old_vector for pair in pairs])
    new = _distinct([pair.new_vector for pair in pairs])
    judge_share(
        run,
        report,
        "distinct_vectors",
        "distinct_vectors",
        new,
        f"Of {len(pairs)} sampled rows {old:.1%} have a vector of their own in the old collection, "
        f"{new:.1%} in the new one.",
        of=old,
        before=round(old, 4),
        after=round(new, 4),
    )


def _distinct(vectors: Sequence[Vector]) -> float:
    return len({np.asarray(vector, dtype=np.float32).tobytes() for vector in vectors}) / len(
        vectors
    )


def _not_judged(report: Report, why: str, **details: Any) -> None:
    report.add("neighbourhoods", True, f"Neighbourhoods were not compared. {why}", **details)


def overlaps(pairs: Sequence[Pair], k: int) -> list[float]:
    """Of each row that has a vector of its own, the share of its neighbours that is the same."""
    return [_overlap(pair, k) for pair in pairs if pair.new and not _has_a_double(pair)]


def _overlap(pair: Pair, k: int) -> float:
    """The share of the old neighbours that the new ones contain; the row itself is none."""
    old, new = _neighbours(pair.key, pair.old, k), _neighbours(pair.key, pair.new, k)
    return len(old & new) / len(old) if old else 1.0


def _neighbours(key: Key, hits: Sequence[Hit], k: int) -> set[Key]:
    return set([hit.key for hit in hits if hit.key != key][:k])


def _has_a_double(pair: Pair) -> bool:
    """Several rows are nearest alike: which of them are shown is no matter of the model."""
    best = [hit for hit in pair.old if abs(hit.score - pair.old[0].score) <= SAME_SCORE]
    return len(best) > 1


def _histogram(shares: Sequence[float]) -> list[int]:
    """How many rows share 0, up to 10, … up to 100 per cent."""
    places = np.ceil(np.asarray(shares) * 10 - SAME_SCORE).astype(int)
    return [int(many) for many in np.bincount(places, minlength=11)]
