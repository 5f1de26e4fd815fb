"""Checkpoints in this process' memory, with the promises of the real ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from itertools import pairwise
from threading import RLock
from uuid import UUID, uuid4

from migrations.model.chunks import Content, Key, KeyRange
from migrations.model.errors import CheckpointsLost, CheckpointsUnavailable
from migrations.ports.checkpoints import NOTHING, Condition, Counters, Lately, Plan, Snapshot
from migrations.ports.clock import Clock


@dataclass
class _Memory:
    """All that is kept of one migration."""

    batch_size: int | None = None
    chunks: int = 0
    complete: bool = False
    borders: list[Key] = field(default_factory=list)
    done: dict[int, Counters] = field(default_factory=dict)
    read: Content = NOTHING
    notes: dict[int, Counters] = field(default_factory=dict)
    #: Chunks by when they were moved.
    moved: list[tuple[float, int]] = field(default_factory=list)
    claims: set[str] = field(default_factory=set)
    #: (epoch, batch) to (expiry, token)
    leases: dict[tuple[int, int], tuple[float, UUID]] = field(default_factory=dict)
    closed_below: int = 0


class FakeCheckpoints:
    """Safe for threads. ``reachable = False`` makes every call fail."""

    def __init__(self, clock: Clock) -> None:
        self.reachable = True
        self.evicts_by: str | None = None
        self.refuses_by: str | None = None
        self.well = Condition("7.0", None, None, 0.1, keeps_on_disk=True)
        self._clock = clock
        self._lock = RLock()
        self._kept: dict[UUID, _Memory] = {}

    def lose_everything(self) -> None:
        """What FLUSHALL does."""
        with self._lock:
            self._kept.clear()

    def condition(self) -> Condition:
        return replace(self.well, evicts_by=self.eviction_policy(), refusal=self.refuses_by)

    def eviction_policy(self) -> str | None:
        if not self.reachable:
            raise CheckpointsUnavailable
        return self.evicts_by

    # --- the plan ---------------------------------------------------------------

    def start_plan(self, migration_id: UUID, batch_size: int) -> None:
        with self._memory(migration_id) as memory:
            self._kept[migration_id] = _Memory(
                batch_size=batch_size,
                claims=memory.claims,
                leases=memory.leases,
            )

    def append_borders(self, migration_id: UUID, borders: Sequence[Key], chunks: int) -> None:
        with self._planned(migration_id) as memory:
            if memory.complete:
                raise CheckpointsLost
            ascending = [*memory.borders[-1:], *borders]
            if any(not upper > lower for lower, upper in pairwise(ascending)):  # type: ignore[operator]
                raise ValueError("Borders must ascend; the scan that yields them does not.")
            memory.borders += borders
            memory.chunks += chunks

    def seal_plan(self, migration_id: UUID) -> Plan:
        with self._planned(migration_id) as memory:
            memory.complete = True
            return _plan_of(memory)

    def plan(self, migration_id: UUID) -> Plan | None:
        with self._memory(migration_id) as memory:
            return None if memory.batch_size is None else _plan_of(memory)

    def batch_ranges(self, migration_id: UUID, first: int, count: int) -> list[KeyRange]:
        with self._batch(migration_id, first) as memory:
            bounds = list(pairwise([None, *memory.borders]))
            return [KeyRange(*each) for each in bounds[first : first + count]]

    # --- what is done -----------------------------------------------------------

    def undone(self, migration_id: UUID, start: int, limit: int) -> list[int]:
        with self._planned(migration_id) as memory:
            batches = range(max(0, start), len(memory.borders))
            return [batch for batch in batches if batch not in memory.done][:limit]

    def done_count(self, migration_id: UUID) -> int:
        with self._planned(migration_id) as memory:
            return len(memory.done)

    def note_slice(self, migration_id: UUID, batch: int, counters: Counters) -> None:
        with self._batch(migration_id, batch) as memory:
            if batch not in memory.done:
                self._moved(memory, batch, counters)
                memory.notes[batch] = counters

    def _moved(self, memory: _Memory, batch: int, counters: Counters) -> None:
        chunks = counters.processed - memory.notes.get(batch, Counters()).processed
        memory.moved.append((self._clock.monotonic(), chunks))

    def mark_done(
        self,
        migration_id: UUID,
        batch: int,
        counters: Counters,
        *,
        worked: KeyRange | None = None,
        read: Content = NOTHING,
    ) -> bool:
        with self._batch(migration_id, batch) as memory:
            if worked is not None and [worked] != self.batch_ranges(migration_id, batch, 1):
                raise CheckpointsLost(part="range")
            if batch in memory.done:
                return False
            self._moved(memory, batch, counters)
            memory.done[batch] = counters
            memory.read += read
            memory.notes.pop(batch, None)
            return True

    def counters(self, migration_id: UUID) -> Counters:
        with self._planned(migration_id) as memory:
            rows = [astuple(part) for part in (*memory.done.values(), *memory.notes.values())]
            return Counters(*(sum(column) for column in zip(*rows, strict=True)))

    def snapshot(self, migration_id: UUID) -> Snapshot:
        with self._planned(migration_id) as memory:
            plan, lately = _plan_of(memory), self._lately(memory)
        return Snapshot(plan, self.counters(migration_id), self.done_count(migration_id), lately)

    def _lately(self, memory: _Memory) -> Lately:
        now = self._clock.monotonic()
        return Lately(sum(chunks for at, chunks in memory.moved if now - at < 60), 60.0)

    def content_read(self, migration_id: UUID) -> Content:
        with self._planned(migration_id) as memory:
            return memory.read

    # --- who is at work ---------------------------------------------------------

    def claim(self, migration_id: UUID, what: str) -> bool:
        with self._memory(migration_id) as memory:
            won = what not in memory.claims
            memory.claims.add(what)
            return won

    @contextmanager
    def lease(self, migration_id: UUID, epoch: int, batch: int, seconds: int) -> Iterator[bool]:
        token = uuid4()
        held = self._take(migration_id, (epoch, batch), token, seconds)
        try:
            yield held
        finally:
            self._drop(migration_id, (epoch, batch), token)

    def _take(self, migration_id: UUID, name: tuple[int, int], token: UUID, seconds: int) -> bool:
        with self._memory(migration_id) as memory:
            now = self._clock.monotonic()
            if name[0] < memory.closed_below:
                return False
            if name in memory.leases and memory.leases[name][0] > now:
                return False
            memory.leases[name] = (now + seconds, token)
            return True

    def _drop(self, migration_id: UUID, name: tuple[int, int], token: UUID) -> None:
        with self._lock:
            memory = self._kept.get(migration_id)
            if memory is not None and memory.leases.get(name, (0.0, None))[1] == token:
                del memory.leases[name]

    def close_epochs(self, migration_id: UUID, below: int) -> None:
        with self._memory(migration_id) as memory:
            memory.closed_below = max(memory.closed_below, below)

    def in_flight(self, migration_id: UUID) -> int:
        with self._memory(migration_id) as memory:
            now = self._clock.monotonic()
            return sum(expiry > now for expiry, _ in memory.leases.values())

    def forget(self, migration_id: UUID) -> None:
        with self._answering():
            self._kept.pop(migration_id, None)

    # --- access -----------------------------------------------------------------

    @contextmanager
    def _answering(self) -> Iterator[None]:
        if not self.reachable:
            raise CheckpointsUnavailable
        with self._lock:
            yield

    @contextmanager
    def _memory(self, migration_id: UUID) -> Iterator[_Memory]:
        with self._answering():
            yield self._kept.setdefault(migration_id, _Memory())

    @contextmanager
    def _planned(self, migration_id: UUID) -> Iterator[_Memory]:
        with self._memory(migration_id) as memory:
            if memory.batch_size is None:
                raise CheckpointsLost
            yield memory

    @contextmanager
    def _batch(self, migration_id: UUID, batch: int) -> Iterator[_Memory]:
        with self._planned(migration_id) as memory:
            if not 0 <= batch < len(memory.borders):
                raise CheckpointsLost(part="batch")
            yield memory


def _plan_of(memory: _Memory) -> Plan:
    assert memory.batch_size is not None
    return Plan(memory.batch_size, memory.chunks, len(memory.borders), memory.complete)
