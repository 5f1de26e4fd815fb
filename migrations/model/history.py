"""Runs now and past: what is asked of them, a page at a time, and what a list shows of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from migrations.model.config import EmbeddingRef
from migrations.model.cursors import cursor_of, parts_of
from migrations.model.errors import CursorInvalid
from migrations.model.progress import MigrationProgress
from migrations.model.runs import Event
from migrations.model.states import LIVE, Kind, Phase, Status


class Order(StrEnum):
    """By when they were asked for."""

    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True)
class Place:
    """Where a page of runs has ended: stays good whatever comes or goes meanwhile."""

    created_at: datetime
    id: UUID

    @property
    def cursor(self) -> str:
        """As text for whoever asks on; nobody has to understand it."""
        return cursor_of(self.created_at.isoformat(), self.id.hex)

    @classmethod
    def at(cls, cursor: str) -> Self:
        """Raises CursorInvalid."""
        at, id_ = parts_of(cursor, 2)
        try:
            place = cls(datetime.fromisoformat(at), UUID(hex=id_))
        except ValueError as error:
            raise CursorInvalid from error
        if place.created_at.tzinfo is None:
            raise CursorInvalid
        return place


@dataclass(frozen=True)
class RunSearch:
    """Which runs: those for which all holds that is said."""

    #: Whose; None: everybody's.
    owner: str | None = None
    bot_id: str | None = None
    #: One of these; none: any.
    statuses: frozenset[Status] = frozenset()
    kind: Kind | None = None
    phase: Phase | None = None
    #: Asked for at this moment or later; aware, as all times.
    since: datetime | None = None
    #: Asked for before this moment.
    until: datetime | None = None
    #: Those alone that are not over.
    live: bool = False
    order: Order = Order.NEWEST
    after: Place | None = None
    limit: int = 50


@dataclass(frozen=True)
class RunSummary:
    """A run as a list shows it, without what its phases have handed over."""

    id: UUID
    bot_id: str
    owner: str
    requested_by: str
    kind: Kind
    #: The run that a reverse run takes back.
    reverses: UUID | None
    status: Status
    phase: Phase
    source: EmbeddingRef
    target: EmbeddingRef
    new_generation: int | None
    #: Of PostgreSQL's last note; a live run's own progress may be further.
    total_chunks: int
    processed_chunks: int
    waiting_for: str | None
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    switched_at: datetime | None
    finished_at: datetime | None

    @property
    def place(self) -> Place:
        return Place(self.created_at, self.id)


@dataclass(frozen=True)
class RunPage:
    runs: tuple[RunSummary, ...]
    #: Where to go on; None where nothing follows.
    next: Place | None


@dataclass(frozen=True)
class Look:
    """A run at one moment, with what has happened since the event that was seen last."""

    progress: MigrationProgress
    events: tuple[Event, ...]

    @property
    def is_over(self) -> bool:
        """Nothing more happens by itself, but for what its old collection still brings."""
        return self.progress.status not in LIVE
