"""What must at least be found before the switch, where finding less is for a person to judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class Gates(BaseModel):
    """Each is a share; 0 holds nothing back.

    Content that is missing or different, and vectors that are not of their text, fail a run
    whatever stands here. How they were chosen: docs/operations/verification.md.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbourhood_overlap: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of a row's nearest rows that must be the same by its stored vectors "
        "in both collections, above what chance gives",
    )
    distinct_vectors: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Of the share of distinct vectors in the old collection, what the new one "
        "must have",
    )
    recall: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Of the share of chunks that their own text finds in the old collection, "
        "what it must find in the new one",
    )

    part_recall: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Of the share of chunks that a part of their text finds in the old "
        "collection, what it must find in the new one",
    )

    golden_overlap: float = Field(
        default=0,
        ge=0,
        le=1,
        description="Share of the results of golden queries that must be the same",
    )
    golden_ndcg: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Of the nDCG of golden queries with relevant keys before, what it must be",
    )
    golden_recall: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Of the recall of golden queries with relevant keys before, what it must be",
    )

    def but(self, asked: Mapping[str, float]) -> Self:
        """With those that a run asked for otherwise."""
        return self.model_validate({**self.model_dump(), **asked})

    def least(self, gate: str) -> float:
        """What must at least be found. ``gate`` is a field's name."""
        value: float = getattr(self, gate)
        return value
