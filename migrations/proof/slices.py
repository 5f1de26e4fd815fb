"""What is found in each part of a collection that shares a value: a language, a tenant, a source.

A share of all rows hides what concerns few of them: a model that does not know one language
answers as well as before on the whole. So whoever starts a run may name a field, and what
verification finds is told, and held against the same gates, for each of its values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrations.model.agreed import Agreed
from migrations.model.chunks import Chunk, Key
from migrations.model.report import Report
from migrations.model.texts import Fields, text_at
from migrations.proof.gates import judge_share
from migrations.proof.neighbourhoods import FEWEST, MOST_OF_ALL, overlaps
from migrations.proof.questions import Pair, share_found
from migrations.proof.reservoir import Reservoir
from migrations.proof.retrieval import Answered
from migrations.run.run import Run

#: The largest values are slices of their own; what the others have is one more.
MOST_SLICES = 20
#: Rows of each of them that are looked at, where the sample of all has fewer.
OF_EACH = 40
#: A field with more values tells rows apart, not parts of a collection.
MOST_VALUES = 1000
#: Characters of a value that are looked at.
LONGEST_VALUE = 64

#: A value as text; None where a row has none, or an object or a list.
Value = str | None


def value_of(fields: Fields, name: str) -> Value:
    return text_at(fields, name)[:LONGEST_VALUE] or None


class Slices:
    """Counts rows by a field's value while all are read, and keeps some keys of each.

    What comes after the first :data:`MOST_VALUES` values counts for none.
    """

    def __init__(self, by: str, seed: int = 0) -> None:
        self.by = by
        self.rows: Counter[Value] = Counter()
        self.too_many = False
        self._seed = seed
        self._some: dict[Value, Reservoir] = {}

    def add(self, chunk: Chunk) -> None:
        value = value_of(chunk.fields, self.by)
        if value not in self._some:
            if len(self._some) > MOST_VALUES:  # with that of rows that have none
                self.too_many = True
                return
            self._some[value] = Reservoir(OF_EACH, self._seed)
        self.rows[value] += 1
        self._some[value].add(chunk.key)

    @property
    def largest(self) -> list[Value]:
        return [value for value, _ in self.rows.most_common(MOST_SLICES)]

    def keys_beside(self, sampled: Collection[Key]) -> list[Key]:
        """Of each slice so many more that it can be judged, though few of its rows are sampled.

        Those that the sample has already count for it.
        """
        known = set(sampled)
        return [key for value in self.largest for key in self._some[value].keys if key not in known]


def report_slices(slices: Slices | None, rows: int, agreed: Agreed, report: Report) -> None:
    """Before a run: is there such a field, and has it few values? ``rows`` are all there are."""
    if slices is None or not rows:
        return
    told = None
    if slices.too_many:
        told = f"has more than {MOST_VALUES} values; name a field whose values many rows share"
    elif set(slices.rows) == {None}:
        told = "is a value in no row; name a column, a member of the dynamic field or a path into "
        told += "JSON (metadata.language)"
    if told is not None:
        severity = "warning" if agreed.way_back else "error"
        message = f"The field {slices.by!r}, by which slices are asked for, {told}, or leave "
        report.add("slices", False, f"{message}slice_by out.", severity=severity)  # type: ignore[arg-type]
        return
    shown = ", ".join(f"{_shown(value)} {slices.rows[value]}" for value in slices.largest)
    rest = len(slices.rows) - len(slices.largest)
    report.add(
        "slices",
        True,
        f"Rows by the field {slices.by!r}: {shown}"
        + (f"; {rest} other values are looked at together." if rest else "."),
        values=len(slices.rows),
    )


def _shown(value: Value) -> str:
    return "(none)" if value is None else repr(value)


@dataclass
class _Slice:
    """What was found in one of them."""

    #: None of the rest.
    name: str
    rows: int
    details: Mapping[str, Any]
    pairs: list[Pair] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)


def judge_slices(
    run: Run,
    slices: Slices | None,
    sample: Sequence[Chunk],
    pairs: Sequence[Pair],
    answered: Sequence[Answered],
    report: Report,
) -> None:
    """Hold what was found of each slice's rows against the gates of the whole.

    ``answered`` are those that were asked for by their text.
    """
    if slices is None or not sample:
        return
    value_by_key = {chunk.key: value_of(chunk.fields, slices.by) for chunk in sample}
    found: list[dict[str, Any]] = []
    for one in _cut(slices, value_by_key, pairs, answered):
        judged = {**_judge_neighbourhoods(run, one, report), **_judge_recall(run, one, report)}
        found.append({**one.details, "rows": one.rows, "sampled": len(one.pairs), **judged})
    report.add(
        "slices",
        True,
        f"By the field {slices.by!r}: " + "; ".join(map(_told, found)) + ".",
        field=slices.by,
        slices=found,
    )


def _cut(
    slices: Slices,
    value_by_key: Mapping[Key, Value],
    pairs: Sequence[Pair],
    answered: Sequence[Answered],
) -> Iterator[_Slice]:
    largest = slices.largest
    of = {
        value: _Slice(f"{slices.by} {_shown(value)}", slices.rows[value], {"value": value})
        for value in largest
    }
    others = [value for value in slices.rows if value not in of]
    rows = sum(slices.rows[value] for value in others)
    rest = _Slice(f"other values of {slices.by}", rows, {"other_values": len(others)})
    for pair in pairs:
        of.get(value_by_key[pair.key], rest).pairs.append(pair)
    for one in answered:
        of.get(value_by_key[one.key], rest).answered.append(one)
    yield from of.values()
    if others:
        yield rest


def _judge_neighbourhoods(run: Run, one: _Slice, report: Report) -> dict[str, Any]:
    """As :func:`migrations.proof.neighbourhoods.judge_neighbourhoods`.

    Chance is that of a collection that is the slice alone: rows that share a language are near
    each other already for that.
    """
    k = run.services.settings.recall_at
    chance = k / (one.rows - 1) if one.rows > 1 else 1.0
    shares = overlaps(one.pairs, k)
    if chance > MOST_OF_ALL or len(shares) < FEWEST:
        return {"neighbourhoods": None}
    mean = sum(shares) / len(shares)
    above = max(0.0, (mean - chance) / (1 - chance))
    judge_share(
        run,
        report,
        "slice_neighbourhoods",
        "neighbourhood_overlap",
        above,
        f"Among the {one.rows} rows of {one.name}, {mean:.1%} of the {k} nearest rows are the same "
        f"in both collections; chance would give up to {chance:.1%}, so {above:.3f} of what it "
        "does not.",
        among=one.name,
        compared=len(shares),
        **one.details,
    )
    return {"neighbourhoods": round(above, 4)}


def _judge_recall(run: Run, one: _Slice, report: Report) -> dict[str, Any]:
    if len(one.answered) < FEWEST:
        return {"recall_before": None, "recall_after": None}
    before = share_found((each.key, each.old) for each in one.answered)
    after = share_found((each.key, each.new) for each in one.answered)
    judge_share(
        run,
        report,
        "slice_retrieval",
        "recall",
        after,
        f"Known-item recall@{run.services.settings.recall_at} among {len(one.answered)} rows of "
        f"{one.name}: {before:.3f} before, {after:.3f} after.",
        of=before,
        among=one.name,
        queries=len(one.answered),
        **one.details,
    )
    return {"recall_before": round(before, 4), "recall_after": round(after, 4)}


def _told(found: Mapping[str, Any]) -> str:
    name = f"{found['other_values']} others" if "value" not in found else _shown(found["value"])
    told = f"{name}, {found['rows']} rows, {found['sampled']} looked at: "
    near, recall = found["neighbourhoods"], found["recall_after"]
    parts = [
        "" if near is None else f"neighbourhoods {near:.3f} above chance",
        "" if recall is None else f"recall {found['recall_before']:.3f} before, {recall:.3f} after",
    ]
    return told + (", ".join(filter(None, parts)) or "too small to judge")
