"""What the batches of one process read together: neighbouring chunks, and schemas.

A read of a key range costs the engine about as much for four hundred rows as for
fifty, and more the larger the collection is. So the first of some neighbouring
batches that a process works on reads for all of them, and the others take their
part. What is read ahead is a little older when it is embedded; what is written
meanwhile is found by catching up, as anything else.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migrations.model.chunks import ALL_KEYS, Chunk, CollectionSchema, Key, KeyRange
from migrations.ports.vector_store import VectorStore

if TYPE_CHECKING:
    from migrations.run.run import Run

#: Chunks read at once, however many batches they are.
MOST_CHUNKS = 1_000
#: Reads kept in memory for those batches that have not come yet.
KEPT_READS = 8


@dataclass
class _Read:
    lock: threading.Lock = field(default_factory=threading.Lock)
    span: KeyRange | None = None
    chunks: Sequence[Chunk] = ()

    def covers(self, within: KeyRange) -> bool:
        if self.span is None:
            return False
        after, upto = self.span.after, self.span.upto
        begins = after is None or (within.after is not None and within.after >= after)  # type: ignore[operator]  # one key type per collection
        ends = upto is None or (within.upto is not None and within.upto <= upto)  # type: ignore[operator]  # as above
        return begins and ends

    def part(self, within: KeyRange) -> list[Chunk]:
        first = 0 if within.after is None else self._beyond(within.after)
        end = len(self.chunks) if within.upto is None else self._beyond(within.upto)
        return list(self.chunks[first:end])

    def _beyond(self, key: Key) -> int:
        return bisect_right(self.chunks, key, key=lambda chunk: chunk.key)


class SharedReads:
    """Of one migration at one epoch, for all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: OrderedDict[int, _Read] = OrderedDict()

    def chunks_of(self, run: Run, index: int, within: KeyRange) -> list[Chunk]:
        """The chunks of one batch, in key order. Raises CheckpointsLost, TransientError."""
        neighbours = _neighbours(run)
        if neighbours == 1 or within == ALL_KEYS:
            return run.services.vectors.read(run.source, within)
        read = self._read_of(index // neighbours)
        with read.lock:  # the first one reads, the others wait for it
            if read.span is None:
                span = _span(run, index - index % neighbours, neighbours)
                read.chunks = run.services.vectors.read(run.source, span)
                read.span = span
        if not read.covers(within):  # a range of another plan; marking it will tell
            return run.services.vectors.read(run.source, within)
        return read.part(within)

    def _read_of(self, number: int) -> _Read:
        with self._lock:
            read = self._reads.setdefault(number, _Read())
            self._reads.move_to_end(number)
            while len(self._reads) > KEPT_READS:
                self._reads.popitem(last=False)
            return read


def _neighbours(run: Run) -> int:
    most = MOST_CHUNKS // run.migration.config.batch_size
    return max(1, min(run.services.settings.batches_per_read, most))


def _span(run: Run, first: int, neighbours: int) -> KeyRange:
    ranges = run.services.checkpoints.batch_ranges(run.migration.id, first, neighbours)
    return KeyRange(ranges[0].after, ranges[-1].upto)


class SharedSchemas:
    """Of the collections of one run. Describing one that is being filled may take seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, CollectionSchema] = {}

    def of(self, vectors: VectorStore, collection: str, vector_field: str) -> CollectionSchema:
        """With respect to the bot's vector. Raises what describing raises."""
        with self._lock:  # the first one asks, the others wait for it
            found = self._found.get(collection)
            if found is None:
                found = self._found[collection] = vectors.describe(collection, vector_field)
            return found
