"""What the use cases answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from migrations.model.bots import Bot
from migrations.model.config import EmbeddingRef, RollbackMode
from migrations.model.findings import Finding
from migrations.model.known_models import ModelInfo
from migrations.model.left_behind import KeptCollection
from migrations.model.proofs import Spread
from migrations.model.report import Check, Estimate, Report
from migrations.model.runs import Migration
from migrations.model.texts import Recipe


@dataclass(frozen=True)
class Started:
    """A migration, and whether this request made it or an earlier equal one did."""

    migration: Migration
    created: bool


@dataclass(frozen=True)
class RollbackOption:
    """What a rollback in one mode would mean now."""

    mode: RollbackMode
    ready: bool
    blockers: tuple[str, ...]
    #: From the request until the bot answers from the previous collection; None when not known.
    seconds_until_back: float | None
    #: Likewise, until what was written since is there, too; what is to be embedded comes on top.
    seconds_until_complete: float | None
    #: What readers are answered meanwhile, in a sentence.
    readers: str


@dataclass(frozen=True)
class WayBack:
    """Whether the bot's last switch can be taken back now, and what stands in the way."""

    ready: bool
    blockers: tuple[str, ...]
    expires_at: datetime | None
    #: Chunks on both sides; the reverse run compares all of them.
    chunks_to_compare: int | None
    #: How long it would take; None when nothing comparable has been measured.
    estimate_seconds: float | None = None
    #: How the estimate was come by, in a sentence.
    estimate_basis: str | None = None
    #: Of the blockers, those that are there because Milvus did not answer.
    not_asked: tuple[str, ...] = ()
    #: One for each mode; ``ready`` and ``blockers`` are those of complete.
    options: tuple[RollbackOption, ...] = ()


@dataclass(frozen=True)
class BotStatus:
    """A bot, its newest migration and the way back."""

    bot: Bot
    migration: Migration | None
    rollback: WayBack
    #: Collections of the bot that are kept for a while before they are dropped, newest first.
    held: tuple[KeptCollection, ...] = ()
    #: Writes to an old collection that were not taken over.
    conflicts: int = 0
    #: What is wrong with that which migrations stand on; of a live one also with itself.
    findings: tuple[Finding, ...] = ()


class Staying(StrEnum):
    """What a collection was to a bot that is removed."""

    #: The bot answered from it; its alias points to it.
    LIVE = "live"
    #: The bot could have gone back to it.
    PREVIOUS = "previous"
    #: It was kept, to be taken over, to be dropped, or for good.
    KEPT = "kept"
    #: A run that failed and was not undone has left it.
    UNFINISHED = "unfinished"


@dataclass(frozen=True)
class StayingCollection:
    collection: str
    was: Staying
    #: Whether a run of the bot has made it.
    made_here: bool


@dataclass(frozen=True)
class RemovedBot:
    """What is left in Milvus of a bot that was removed; nobody looks after it any more."""

    bot: Bot
    stays: tuple[StayingCollection, ...]


@dataclass(frozen=True)
class TextCandidate:
    """A way of making texts, and how near their vectors are to the stored ones.

    ``prefix`` was put before each for the model.
    ``judged`` texts were embedded, of which ``strangers`` are below the threshold; the cosines
    are None where none were.
    """

    recipe: Recipe
    prefix: str
    fits: bool
    judged: int
    strangers: int
    threshold: float
    cosines: Spread | None


@dataclass(frozen=True)
class TextDiagnosis:
    """What a bot's model says was embedded, the likeliest first, from ``rows`` of its rows."""

    bot: Bot
    rows: int
    candidates: tuple[TextCandidate, ...]
    #: What asking came to, as billed.
    tokens: int


@dataclass(frozen=True)
class ChangeValidation:
    """Whether a bot could go to ``target``, by the same checks that open a migration."""

    bot: Bot
    target: EmbeddingRef
    report: Report


@dataclass(frozen=True)
class DimensionInfo:
    """The bot's dimension and those its and other known models can give."""

    bot: Bot
    collection_dimension: int
    current: ModelInfo | None
    known_models: tuple[ModelInfo, ...]


@dataclass(frozen=True)
class VerificationReport:
    """What verification of a migration found, did not look at, and cost.

    ``tokens`` are of the whole migration, by what they were for.
    """

    migration: Migration
    checks: tuple[Check, ...]
    not_compared: tuple[str, ...]
    tokens: Mapping[str, int]
    verified_at: datetime | None


@dataclass(frozen=True)
class BotEstimate:
    bot: Bot
    target: EmbeddingRef
    estimate: Estimate
    #: What to know before it is started.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """What some chunks of a bot have shown of another embedding, and what it cost to see."""

    bot: Bot
    target: EmbeddingRef
    report: Report
    #: In the collection.
    chunks: int
    sampled: int
    #: Of those, how many were embedded and stored.
    moved: int
    #: As billed, by both models together.
    tokens: int
    cost_usd: float | None
    #: From beginning to end.
    seconds: float
    #: One batch after another, without the waiting for turns; None where nothing was embedded.
    chunks_per_second: float | None
    #: Of moving everything.
    whole: Estimate
