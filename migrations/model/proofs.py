"""What shows that a text is what was embedded: kept with a bot, and with each of its migrations."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from migrations.model.config import EmbeddingRef


class How(StrEnum):
    #: The model, given the texts, has answered with the stored vectors.
    REPRODUCED = "reproduced"
    #: Somebody has said so, and nothing has shown it.
    STATED = "stated"


class Spread(BaseModel):
    """Some cosines in short: the lowest, what nineteen of twenty reach, and half of them."""

    model_config = ConfigDict(frozen=True)

    lowest: float
    low: float
    median: float


class Proof(BaseModel):
    """How it is known that a bot's text is what was embedded by one of its models.

    ``by`` has asked for it, or said so. Of ``judged`` vectors ``strangers`` were not of their
    text, which is what two vectors are whose cosine is below ``threshold``. What was not asked
    is None.
    """

    model_config = ConfigDict(frozen=True)

    how: How
    by: str
    at: datetime
    embedding: EmbeddingRef
    judged: int = 0
    strangers: int = 0
    threshold: float | None = None
    #: Between stored vectors and the model's answers.
    cosines: Spread | None = None
    #: Between the model's own two answers to the same texts.
    reproduces: Spread | None = None
    #: Why going back to these vectors would not pass, in a sentence; None where it would.
    closes_way_back: str | None = None

    @property
    def share_of_strangers(self) -> float:
        return self.strangers / self.judged if self.judged else 0.0
