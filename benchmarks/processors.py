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
    def divided(cls) -> Processors:
        """Those that we may use, in halves. Raises ValueError where there is only one."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            raise ValueError("there is only one processor, which cannot be divided")
        half = len(usable) // 2
        return cls(busy=frozenset(usable[half:]), others=frozenset(usable[:half]))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """This process and all it starts keep away from the busy ones."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.others)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    def make_busy(self, pid: int) -> None:
        """Move a process that was just started; its threads and children follow."""
        os.sched_setaffinity(pid, self.busy)
