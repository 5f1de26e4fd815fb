"""What a reader asks for, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from migrations.model.bots import LivePair
from migrations.model.chunks import Hit, Key

#: What a parameter of a filter may be: a value, or a list of values.
Value = bool | int | float | str | Sequence[bool | int | float | str]


class Consistency(StrEnum):
    """Which writes an answer has seen."""

    #: All that were acknowledged before it was asked for.
    STRONG = "Strong"
    #: All but those of the last seconds.
    BOUNDED = "Bounded"
    #: Whatever has arrived.
    EVENTUALLY = "Eventually"


@dataclass(frozen=True)
class Fusion:
    """How an answer by vectors and one by words (BM25) become one.

    By ranks, with this ``rrf_k``; or by scores, with a weight for each, where it is None.
    """

    rrf_k: int | None = 60
    vector_weight: float = 0.5
    words_weight: float = 0.5


@dataclass(frozen=True)
class Search:
    """For each text the ``limit`` best chunks after the ``offset`` best."""

    texts: tuple[str, ...]
    limit: int = 10
    offset: int = 0
    #: An expression of Milvus; ``{name}`` stands for a parameter.
    filter: str = ""
    filter_params: Mapping[str, Value] = field(default_factory=dict)
    #: None for all but vectors.
    output_fields: tuple[str, ...] | None = None
    with_text: bool = True
    #: Hits that are worse are left out: lower ones, or higher ones where the metric is L2.
    score_threshold: float | None = None
    #: Of the index, as Milvus calls them.
    params: Mapping[str, Any] = field(default_factory=dict)
    #: None for all of them.
    partitions: tuple[str, ...] = ()
    #: None for the collection's own.
    consistency: Consistency | None = None
    fusion: Fusion | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing in it is put into words that Milvus reads."""
        told = (self.filter, self.params, self.partitions, self.output_fields, self.fusion)
        return not any(told)


@dataclass(frozen=True)
class Found:
    """A chunk that answers a text."""

    key: Key
    score: float
    #: What was embedded of it; None where it was not asked for.
    text: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Answered:
    """``found[i]`` belongs to the i-th text; all of it from the one pair."""

    live: LivePair
    #: What the scores are: the collection's metric, or the name of a fusion.
    metric: str
    found: list[list[Found]]


def is_good_enough(hit: Hit, threshold: float | None, *, smaller_is_better: bool) -> bool:
    if threshold is None:
        return True
    return hit.score <= threshold if smaller_is_better else hit.score >= threshold
