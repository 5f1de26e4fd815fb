"""What shows that a text is what was embedded, as callers see it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.schemas.parts import EmbeddingItem, ResponseBody
from migrations.model.proofs import How, Proof, Spread

_SPREAD = {"lowest": 0.9997, "low": 0.9998, "median": 1.0}


class SpreadItem(ResponseBody):
    """Some cosines in short."""

    lowest: float = Field(description="The lowest.", examples=[0.9997])
    low: float = Field(description="Nineteen of twenty are at least this.", examples=[0.9998])
    median: float = Field(description="Half of them are at least this.", examples=[1.0])

    @classmethod
    def of(cls, spread: Spread | None) -> SpreadItem | None:
        return cls(**spread.model_dump()) if spread else None


class TextProofItem(ResponseBody):
    """How it is known that a bot's text is what was embedded by one of its models."""

    how: How = Field(
        description="'reproduced': the model has answered the texts with the stored vectors. "
        "'stated': somebody said so, and nothing has shown it.",
        examples=["reproduced"],
    )
    by: str = Field(description="Who has asked for it, or said so.", examples=["acme"])
    at: datetime = Field(description="When.", examples=["2026-11-01T08:00:00Z"])
    embedding: EmbeddingItem = Field(
        description="Whose vectors were looked at.",
        examples=[{"provider": "openai", "model": "text-embedding-3-small", "dimension": 1536}],
    )
    judged: int = Field(description="Chunks whose vectors were compared.", examples=[100])
    strangers: int = Field(description="Those of them that are not of their text.", examples=[0])
    threshold: float | None = Field(
        description="The cosine from which on two vectors are the same, by what the model "
        "reproduces of its own answers; null where it was not asked.",
        examples=[0.999],
    )
    cosines: SpreadItem | None = Field(
        description="Between stored vectors and the model's answers; null where none were judged.",
        examples=[_SPREAD],
    )
    reproduces: SpreadItem | None = Field(
        description="Between the model's own two answers to the same texts; null where it was not "
        "asked twice.",
        examples=[_SPREAD],
    )
    closes_way_back: str | None = Field(
        description="Why a rollback to these vectors would not pass, in a sentence; null where it "
        "would.",
        examples=[None],
    )

    @classmethod
    def of(cls, proof: Proof | None) -> TextProofItem | None:
        if proof is None:
            return None
        return cls(
            how=proof.how,
            by=proof.by,
            at=proof.at,
            embedding=EmbeddingItem.of(proof.embedding),
            judged=proof.judged,
            strangers=proof.strangers,
            threshold=proof.threshold,
            cosines=SpreadItem.of(proof.cosines),
            reproduces=SpreadItem.of(proof.reproduces),
            closes_way_back=proof.closes_way_back,
        )
