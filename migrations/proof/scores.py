"""Scores before and after: an application that filters by one needs to know its new value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from migrations.model.chunks import Hit
from migrations.model.report import Report

#: Shares of results that a threshold may keep.
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
#: Columns of the histograms.
COLUMNS = 20

Scores = npt.NDArray[np.float64]


def report_scores(
    report: Report,
    before: Sequence[Sequence[Hit]],
    after: Sequence[Sequence[Hit]],
    *,
    smaller_is_better: bool,
) -> None:
    """Both sides' scores for the same questions, and thresholds that keep the same share."""
    old, new = _scores(before), _scores(after)
    if not len(old) or not len(new):
        return
    thresholds = [
        {
            "share": share,
            "before": _keeping(old, share, smaller_is_better),
            "after": _keeping(new, share, smaller_is_better),
        }
        for share in SHARES
    ]
    half = thresholds[SHARES.index(0.5)]
    low = float(min(old.min(), new.min()))
    high = float(max(old.max(), new.max()))
    report.add(
        "scores",
        True,
        f"Scores of {len(old)} results: a threshold of {half['before']:.3f}, which keeps half of "
        f"them, is {half['after']:.3f} in the new collection. Change it when the bot switches.",
        thresholds=thresholds,
        lowest=round(low, 4),
        highest=round(high, 4),
        before=_histogram(old, low, high),
        after=_histogram(new, low, high),
    )


def _scores(answers: Sequence[Sequence[Hit]]) -> Scores:
    found = np.asarray([hit.score for hits in answers for hit in hits], dtype=np.float64)
    return found[np.isfinite(found)]


def _keeping(scores: Scores, share: float, smaller_is_better: bool) -> float:
    place = share if smaller_is_better else 1 - share
    return round(float(np.quantile(scores, place)), 4)


def _histogram(scores: Scores, low: float, high: float) -> list[int]:
    """How many lie in each of COLUMNS equal parts of what both sides span."""
    counts, _ = np.histogram(scores, bins=COLUMNS, range=(low, max(high, low + 1e-9)))
    return [int(many) for many in counts]
