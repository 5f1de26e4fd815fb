"""What is counted over all bots and migrations at once, for monitoring: no ids, no texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migrations.model.left_behind import ConflictReason, HoldReason
from migrations.model.states import Kind, Phase, Status


@dataclass(frozen=True)
class RunFigures:
    """Of the migrations."""

    #: All there are, ended ones as well; removing a bot takes its own away.
    by_status: Mapping[tuple[Kind, Status], int] = field(default_factory=dict)
    #: Those that a worker should be at.
    by_phase: Mapping[Phase, int] = field(default_factory=dict)
    #: Of those: the seconds since a worker has spoken of the one that is silent for longest.
    longest_silence_seconds: float = 0.0
    #: And the highest epoch: it rises whenever one is driven again.
    highest_epoch: int = 0
    #: How long the one has waited that waits for longest for a person's decision.
    longest_wait_seconds: float = 0.0
    #: Of live ones together, as their totals say: those rise with each wave.
    total_chunks: int = 0
    processed_chunks: int = 0
    failed_chunks: int = 0
    #: Chunks of live ones that could not be embedded, by the code of what was met.
    failed_by_code: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BotFigures:
    bots: int = 0
    #: With a previous collection whose retention window is open.
    with_way_back: int = 0
    #: Seconds until the first of them has none any more.
    first_end_seconds: float | None = None
    #: Whose alias does not point where their row says, or is not known to.
    aliases_behind: int = 0


@dataclass(frozen=True)
class JournalFigures:
    """Of what applications write through us."""

    waiting_writes: int = 0
    #: Since when the oldest of them waits, in seconds.
    oldest_seconds: float = 0.0
    #: Passed over, because they could not be done.
    failed_writes: int = 0


@dataclass(frozen=True)
class OutboxFigures:
    unsent: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True)
class NotificationFigures:
    """Of messages to those who want to be told."""

    waiting: int = 0
    oldest_seconds: float = 0.0
    #: In the last thirty days.
    given_up: int = 0


@dataclass(frozen=True)
class Figures:
    runs: RunFigures = field(default_factory=RunFigures)
    bots: BotFigures = field(default_factory=BotFigures)
    kept: Mapping[HoldReason, int] = field(default_factory=dict)
    conflicts: Mapping[ConflictReason, int] = field(default_factory=dict)
    journals: JournalFigures = field(default_factory=JournalFigures)
    outbox: OutboxFigures = field(default_factory=OutboxFigures)
    notifications: NotificationFigures = field(default_factory=NotificationFigures)
