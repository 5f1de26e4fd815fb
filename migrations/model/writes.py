"""What applications write through us: entries of a bot's journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from migrations.model.chunks import Key

#: Entries that are applied together.
PORTION = 256


class WriteKind(StrEnum):
    """What is done with a key."""

    #: The chunk is as told from now on, whether there was one or not.
    UPSERT = "upsert"
    #: There is no chunk of this key from now on, whether there was one or not.
    DELETE = "delete"


@dataclass(frozen=True)
class Write:
    """One key and what becomes of it. ``fields`` are all columns but vectors, the key left out."""

    kind: WriteKind
    key: Key
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A write at its place in the journal; places count from 1, without gaps."""

    position: int
    write: Write


@dataclass(frozen=True)
class FailedWrite:
    """A write that was passed over, and why; the chunk is as it was before."""

    position: int
    key: Key
    code: str
    message: str


@dataclass(frozen=True)
class OnceOnly:
    """By which a request is known when it is sent again: its key, and a digest of what it said."""

    key: str
    digest: str


@dataclass(frozen=True)
class Appended:
    """Where a request's writes stand: after ``after``, up to and including ``upto``."""

    after: int
    upto: int
    #: Whether nobody is applying, so that somebody has to be woken.
    wake: bool = False
    #: Whether an earlier request of the same key has written them.
    replayed: bool = False


@dataclass(frozen=True)
class Journal:
    """How far a bot's journal is written and applied."""

    last: int = 0
    applied: int = 0
    #: When the oldest write was made that is not applied.
    waiting_since: datetime | None = None
    #: Why nothing is applied now; None while nothing is in the way.
    waiting_for: str | None = None
    #: Whether a switch is near, which applying waits for.
    is_held: bool = False
    failed: int = 0
