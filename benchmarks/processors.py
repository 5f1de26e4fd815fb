"""Processors of their own for what sets the pace of a migration.

Milvus and the batch workers take every processor they can get. Where they have
their own, what else is measured does not wait for its turn behind them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Processors:
    """Which ones Milvus and the batch workers run on, and which ones everything else."""

    busy: frozenset[int]
    others: frozenset[int]

    @classmethod
    def shared(cls) -> Processors:
        """All that we may use, for everybody."""
        usable = frozenset(os.sched_getaffinity(0))
        return cls(busy=usable, others=usable)

    @classmethod
    def divided(cls) -> Processors:
        """All that we may use, in halves. Raises ValueError where there is only one."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            raise ValueError("there is only one processor, which cannot be divided")
        half = len(usable) // 2
        return cls(busy=frozenset(usable[half:]), others=frozenset(usable[:half]))


@contextmanager
def staying_on(processors: frozenset[int]) -> Iterator[None]:
    """This thread runs there, and so does for good whatever it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
