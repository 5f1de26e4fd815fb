"""What a run leaves behind: collections that are kept for a while, and writes not taken over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from migrations.model.config import EmbeddingRef
from migrations.model.cursors import cursor_of, parts_of
from migrations.model.errors import CursorInvalid


class ConflictReason(StrEnum):
    #: The live collection's chunk has changed since the switch too; it stays as it is.
    LIVE_IS_NEWER = "live_is_newer"
    #: The live model could not embed the text before a rollback overwrote it.
    NOT_EMBEDDED = "not_embedded"
    #: What was deleted or replaced before the switch stands in the live collection again.
    CAME_BACK = "came_back"


@dataclass(frozen=True)
class Conflict:
    """A late write that was not forwarded, kept so that a person can decide."""

    key: str
    #: What was written to the old collection; None when it was a deletion.
    fields: dict[str, Any] | None
    reason: ConflictReason


@dataclass(frozen=True)
class ConflictPlace:
    """Where a page of conflicts has ended."""

    at: datetime
    migration_id: UUID
    key_digest: str

    @property
    def cursor(self) -> str:
        return cursor_of(self.at.isoformat(), self.migration_id.hex, self.key_digest)

    @classmethod
    def after(cls, cursor: str) -> Self:
        """Raises CursorInvalid."""
        at, run, digest = parts_of(cursor, 3)
        try:
            place = cls(datetime.fromisoformat(at), UUID(hex=run), digest)
        except ValueError as error:
            raise CursorInvalid from error
        if place.at.tzinfo is None or "\x00" in digest:
            raise CursorInvalid
        return place


@dataclass(frozen=True)
class KeptConflict:
    """A conflict as it is listed: of which run, and since when."""

    conflict: Conflict
    place: ConflictPlace


#: Why nobody can tell what was written since a switch.
NOT_KNOWN_IN_COMMON = (
    "What both collections held when they were last equal is not known just now, so what was "
    "written since cannot be told. Use mode: complete, or ask again when the collection that was "
    "left has been looked at once more, within an hour."
)


class HoldReason(StrEnum):
    #: The target of a run that was undone; the next run to the same model takes it over.
    ROLLED_BACK = "rolled_back"
    #: A bot's previous collection whose retention window has closed; perhaps an original, which
    #: no run of ours has made.
    RETIRED = "retired"


class End(StrEnum):
    """How the keeping of a collection ends."""

    #: It is dropped: a run of ours has made it, or its bot lets originals be dropped.
    DROPPED = "dropped"
    #: It is released from memory and stays.
    RELEASED = "released"
    #: Somebody else has dropped it; the row goes.
    GONE = "gone"


@dataclass(frozen=True)
class KeptCollection:
    """A collection nobody needs any more, kept for a while before it is dropped.

    ``chunks`` and ``content_digest`` are as when it was held; None when not read yet.
    """

    collection: str
    bot_id: str
    #: The run that left it behind.
    migration_id: UUID
    reason: HoldReason
    embedding: EmbeddingRef
    #: What it was filled from; None for a retired one.
    source_collection: str | None
    chunks: int | None
    content_digest: str | None
    held_at: datetime
    #: None: it was released from memory and stays until somebody drops it in Milvus.
    drop_after: datetime | None
    #: An original whose bot does not let originals be dropped: it is never dropped by us.
    stays: bool = False

    @property
    def is_compared(self) -> bool:
        """Foreign writers know a retired collection's name; nobody was ever told a target's."""
        return self.reason is HoldReason.RETIRED
