"""Redis as the domain sees it: what a run needs to go on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from migrations.model.chunks import Content, Key, KeyRange


@dataclass(frozen=True)
class Plan:
    """The header of a migration's checkpoint: how the key space was cut into batches."""

    batch_size: int
    total_chunks: int
    total_batches: int
    #: False while the planning scan is still appending borders.
    complete: bool


@dataclass(frozen=True)
class Counters:
    """Sums over finished slices of batches, in chunks (tokens in tokens)."""

    processed: int = 0
    failed: int = 0
    skipped: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Lately:
    """Chunks that were moved within the last seconds, about a minute."""

    chunks: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint at one moment; ``done`` counts batches."""

    plan: Plan
    counters: Counters
    done: int
    lately: Lately = Lately()


@dataclass(frozen=True)
class Condition:
    """How a Redis is that answers."""

    version: str
    #: By which policy keys may be evicted when memory is short; None when none may.
    evicts_by: str | None
    #: Why it takes no writes, in its words; None when it takes them.
    refusal: str | None
    #: Of its maxmemory; 0 where it has none.
    memory_share: float
    #: Whether what it holds outlasts a restart of it.
    keeps_on_disk: bool


#: What a batch has read that does not say.
NOTHING = Content()


def evicting(policy: str | None) -> str | None:
    """What is wrong with a Redis of this :meth:`Checkpoints.eviction_policy`, if anything is."""
    if policy is None:
        return None
    return (
        f"Redis may evict keys (maxmemory-policy {policy}): set it to noeviction, or "
        "messages and checkpoints are lost when its memory is short."
    )


class Checkpoints(Protocol):
    """Redis: what a run needs to go on, and nothing that cannot be found out again.

    Methods raise CheckpointsUnavailable when Redis does not answer and
    CheckpointsLost when the plan they need is gone.
    """

    def ping(self) -> None: ...

    def condition(self) -> Condition:
        """How it is, and whether it takes a write: one is tried, on a key of our own."""
        ...

    def eviction_policy(self) -> str | None:
        """By which policy keys may be evicted when memory is short; None when none may."""
        ...

    def start_plan(self, migration_id: UUID, batch_size: int) -> None:
        """Forget any earlier plan and begin an empty one."""
        ...

    def append_borders(self, migration_id: UUID, borders: Sequence[Key], chunks: int) -> None:
        """Add batches by the last key of each; ``chunks`` is the number they hold together."""
        ...

    def seal_plan(self, migration_id: UUID) -> Plan: ...

    def plan(self, migration_id: UUID) -> Plan | None: ...

    def batch_ranges(self, migration_id: UUID, first: int, count: int) -> list[KeyRange]:
        """The key ranges of ``count`` neighbouring batches; of fewer where the plan ends."""
        ...

    def undone(self, migration_id: UUID, start: int, limit: int) -> list[int]:
        """The first ``limit`` batches from index ``start`` on that are not done."""
        ...

    def done_count(self, migration_id: UUID) -> int: ...

    def note_slice(self, migration_id: UUID, batch: int, counters: Counters) -> None:
        """Progress within a batch that is not finished (replaces the batch's earlier note)."""
        ...

    def mark_done(
        self,
        migration_id: UUID,
        batch: int,
        counters: Counters,
        *,
        worked: KeyRange | None = None,
        read: Content = NOTHING,
    ) -> bool:
        """Mark the batch; False, and nothing counted, when it was marked before.

        ``read`` is what the batch found in the source, see :meth:`content_read`.

        ``worked`` is the range that is in the target now. When it is given and
        the plan has another range for this batch, the batch was planned anew
        meanwhile and is not marked.

        Raises:
            CheckpointsLost: the plan is gone or is not the one that was worked.
        """
        ...

    def counters(self, migration_id: UUID) -> Counters: ...

    def snapshot(self, migration_id: UUID) -> Snapshot:
        """The plan, the counters and the number of batches done, of one moment."""
        ...

    def content_read(self, migration_id: UUID) -> Content:
        """What all batches that are done have read from the source, added up."""
        ...

    def claim(self, migration_id: UUID, what: str) -> bool:
        """True for exactly one caller per name."""
        ...

    def lease(
        self, migration_id: UUID, epoch: int, batch: int, seconds: int
    ) -> AbstractContextManager[bool]:
        """Hold a batch; yields False when somebody else holds it, or its epoch is closed.

        Released on exit.
        """
        ...

    def close_epochs(self, migration_id: UUID, below: int) -> None:
        """From now on no batch of an epoch below this one gets a lease."""
        ...

    def in_flight(self, migration_id: UUID) -> int:
        """Batches of any epoch that hold a lease now."""
        ...

    def forget(self, migration_id: UUID) -> None:
        """Remove every key of the migration."""
        ...
