"""Do the vectors' lengths fit the metric?

By IP a longer vector is nearer to every question, by L2 a vector of another length is
farther from all of them, so where lengths differ a question finds what is long instead of
what it asks for. Known items hardly show it: a text's own vector is found all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from migrations.embedding.asking import Vector
from migrations.model.chunks import CollectionSchema
from migrations.model.config import VectorLengths
from migrations.model.report import Report, Severity

#: Texts that a new model is asked for, to see how long its vectors are.
LENGTHS_SAMPLE = 20
#: Lengths differ if the longest is so much longer than the shortest; rounding stays below it.
_DIFFER = 0.01
_MIND = frozenset({"IP", "L2"})


def minds_lengths(schema: CollectionSchema) -> bool:
    """Whether the collection's metric depends on them."""
    return schema.metric in _MIND


def report_lengths(
    report: Report,
    schema: CollectionSchema,
    *,
    before: Sequence[Vector],
    after: Sequence[Vector],
    agreed: VectorLengths,
) -> None:
    """Add a check where the lengths of new vectors differ, or those of old ones did.

    ``before`` and ``after`` are samples of stored vectors and of new ones.
    """
    if not minds_lengths(schema):
        return
    old, new = _range(before), _range(after)
    if _differ(new):
        refuses = agreed is VectorLengths.REFUSE
        told = f"The new vectors differ in length, from {new[0]:.3f} to {new[1]:.3f}, and "
        told += f"{schema.metric} puts what is long before what is asked for"
        told += (
            ": have them brought to length 1 (normalized true), or start with vector_lengths keep."
            if refuses
            else "; they are kept as they come, as it was started."
        )
        _add(report, told, old, new, severity="error" if refuses else "warning")
    elif _differ(old):
        told = f"The stored vectors differ in length, from {old[0]:.3f} to {old[1]:.3f}, so that "
        told += f"{schema.metric} has put the longer ones first; the new ones do not, and what is "
        told += "found comes in another order."
        _add(report, told, old, new, severity="warning")


def _add(
    report: Report,
    told: str,
    old: tuple[float, float],
    new: tuple[float, float],
    *,
    severity: Severity,
) -> None:
    report.add("vector_lengths", False, told, severity=severity, before=old, after=new)


def _range(vectors: Sequence[Vector]) -> tuple[float, float]:
    """The shortest and the longest; (1, 1) of none."""
    lengths = [float(np.linalg.norm(vector)) for vector in vectors]
    return (round(min(lengths), 6), round(max(lengths), 6)) if lengths else (1.0, 1.0)


def _differ(lengths: tuple[float, float]) -> bool:
    shortest, longest = lengths
    return not longest - shortest <= _DIFFER * longest
