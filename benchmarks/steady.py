"""A migration, or several, watched in their steady state."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.provider import ProviderServer
from benchmarks.runs import Run


@dataclass(frozen=True)
class Window:
    """What was seen in so many seconds."""

    seconds: float
    #: Answers of the provider with status 200, and the tokens of their texts.
    requests: int
    tokens: int
    #: Of each migration, in chunks per second.
    rates: list[float]


def watch(
    provider: ProviderServer, runs: Sequence[Run], warm_up_seconds: float, seconds: float
) -> Window:
    """Wait until all move, and a little longer; then look for so many seconds."""
    for run in runs:
        run.wait_for(lambda seen: seen["current_batch"] > 0)
    time.sleep(warm_up_seconds)
    began, before = time.monotonic(), provider.statistics()
    samples: list[list[tuple[float, int]]] = [[] for _ in runs]
    while time.monotonic() - began < seconds:
        for run, sampled in zip(runs, samples, strict=True):
            seen = run.progress()
            assert seen["current_batch"] < seen["total_batches"], "it ended within the window"
            sampled.append((time.monotonic(), seen["processed_chunks"]))
        time.sleep(0.02)
    ended, after = time.monotonic(), provider.statistics()
    return Window(
        ended - began,
        _answered(after) - _answered(before),
        after["tokens"] - before["tokens"],
        [_slope(sampled) for sampled in samples],
    )


def _answered(statistics: dict[str, Any]) -> int:
    return int(statistics["statuses"].get("200", 0))


def _slope(samples: Sequence[tuple[float, int]]) -> float:
    """Chunks per second by least squares: batches end in bursts, the two ends are chance."""
    times, chunks = np.array(samples, dtype=float).T
    return float(np.polyfit(times - times[0], chunks, 1)[0])
