"""How large a run of the benchmarks is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Engine(StrEnum):
    #: The real standalone server of the PyPI package ``milvus``.
    STANDALONE = "milvus_2_3_5"
    #: The pure Python engine of the embedded stack.
    LITE = "milvus_lite"


@dataclass(frozen=True)
class Scale:
    """The defaults are what the issue asks for; everything else is for trying things out."""

    #: Times each figure is measured; the median is shown.
    repeat: int = 3
    engines: tuple[Engine, ...] = (Engine.STANDALONE, Engine.LITE)
    #: Chunks and dimensions of the collection that is raced over.
    chunks: int = 20_000
    from_dimension: int = 1536
    to_dimension: int = 3072
    batch_size: int = 50
    script_threads: tuple[int, ...] = (1, 4)
    #: Workers that move batches, and threads of each; None is what is shipped.
    batch_workers: int = 1
    batch_threads: int | None = None
    pool: str = "threads"
    #: Start new workers before each measurement; without, what they have learned stays.
    fresh_workers: bool = True
    #: Dimensions where vectors are not what is measured.
    small_from: int = 8
    small_to: int = 16
    #: Requests a minute of the provider with limits; tokens are set to match.
    requests_per_minute: int = 600
    #: Seconds left out before the steady state, and seconds it is watched.
    warm_up_seconds: float = 10.0
    window_seconds: float = 45.0
    #: How long a run is watched in each of its states while it is steered.
    steering_seconds: float = 60.0
    latency_seconds: float = 0.4
    latency_window_seconds: float = 10.0
    #: Collections of the growth benchmark; those above ``once_above`` are measured once.
    growth: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    once_above: int = 100_000
    #: A migration that takes longer is cancelled and judged by what it has done.
    longest_seconds: float = 2400.0
    empty_batches: int = 2_000
    #: How long the API is asked beside slow clients.
    slow_clients_seconds: float = 60.0
    switch: tuple[int, ...] = (10_000, 1_000_000)
    #: Chunks that are searched, for how long each way, and how often a bot moves meanwhile.
    search_chunks: int = 10_000
    search_seconds: float = 60.0
    search_moves: int = 25
    #: Requests for embeddings over which the API's memory is watched.
    embeddings_requests: int = 100_000
    back_at_once: tuple[int, ...] = (10_000, 300_000)
    #: How long is written to each side before it is left.
    back_writes_seconds: float = 30.0
    #: Milvus and the batch workers on other processors than everything else.
    apart: bool = False

    @classmethod
    def tiny(cls) -> Self:
        """Every code path within seconds; the figures mean nothing."""
        return cls(
            repeat=1,
            engines=(Engine.LITE,),
            chunks=200,
            from_dimension=16,
            to_dimension=32,
            # Sources must outlast what is watched of them: small batches, small sources.
            batch_size=10,
            requests_per_minute=600,
            fresh_workers=False,
            warm_up_seconds=0.5,
            window_seconds=3.0,
            steering_seconds=2.0,
            latency_seconds=0.1,
            latency_window_seconds=2.0,
            growth=(100, 400),
            empty_batches=100,
            slow_clients_seconds=3.0,
            switch=(100, 400),
            search_chunks=200,
            search_seconds=2.0,
            search_moves=2,
            embeddings_requests=200,
            back_at_once=(100, 400),
            back_writes_seconds=2.0,
        )

    @property
    def main_engine(self) -> Engine:
        """The engine of all benchmarks that are not about the engine."""
        return self.engines[0]

    def repeats_of(self, chunks: int) -> int:
        return 1 if chunks > self.once_above else self.repeat


def positive_integers(text: str) -> tuple[int, ...]:
    """``10000,100000`` as given on a command line. Raises ValueError."""
    numbers: Sequence[int] = [int(part) for part in text.split(",")]
    if any(number < 1 for number in numbers):
        raise ValueError("every number must be at least 1")
    return tuple(numbers)
