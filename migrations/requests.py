"""What callers ask of the use cases, and what they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from migrations.config import EmbeddingRef, OverLong
from migrations.entities import Bot, HeldCollection, Migration
from migrations.ports import ModelInfo
from migrations.results import Estimate, Report


@dataclass(frozen=True)
class BotRegistration:
    """An existing collection to be looked after as a bot.

    ``collection`` may be an alias or a physical name. Without ``alias`` the given
    alias is kept; a physical collection gets ``<collection>_live``. Fields left
    out are found by introspection; ``dimension`` must be the collection's own.
    """

    bot_id: str
    collection: str
    provider: str
    model: str
    dimension: int | None = None
    alias: str | None = None
    text_field: str | None = None
    vector_field: str | None = None


@dataclass(frozen=True)
class StartRequest:
    """A wish to move a bot to another embedding; None takes the system's default."""

    bot_id: str
    provider: str
    model: str
    dimension: int | None = None
    batch_size: int | None = None
    max_retries: int | None = None
    retry_delay: float | None = None
    timeout_seconds: int | None = None
    enable_rollback: bool = True
    verify_migration: bool = True
    max_failed_ratio: float = 0.0
    over_long: OverLong = OverLong.REFUSE


@dataclass(frozen=True)
class Started:
    """A migration, and whether this request made it or an earlier equal one did."""

    migration: Migration
    created: bool


@dataclass(frozen=True)
class RollbackReadiness:
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


@dataclass(frozen=True)
class BotStatus:
    """A bot, its newest migration and the way back."""

    bot: Bot
    migration: Migration | None
    rollback: RollbackReadiness
    #: Collections of the bot that are kept for a while before they are dropped, newest first.
    held: tuple[HeldCollection, ...] = ()
    #: Writes to an old collection that were not taken over.
    conflicts: int = 0


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
class EstimateRequest:
    bot_id: str
    provider: str | None = None
    model: str | None = None
    dimension: int | None = None
    batch_size: int | None = None


@dataclass(frozen=True)
class BotEstimate:
    bot: Bot
    target: EmbeddingRef
    estimate: Estimate
