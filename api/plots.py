"""Bars of histograms as rectangles; the page's template draws them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 160


@dataclass(frozen=True)
class Bar:
    """In pixels; ``tells`` is shown to whoever points at it or has it read out."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    tells: str


def bars_of(series: Sequence[tuple[str, Sequence[int]]], labels: Sequence[str]) -> list[Bar]:
    """Side by side, as shares of their own series; ``series`` are (kind, counts) of one length."""
    highest = max((max(_shares(counts), default=0.0) for _, counts in series), default=0.0)
    room = WIDTH / max(1, len(labels))
    width = room * 0.8 / max(1, len(series))
    bars = []
    for number, (kind, counts) in enumerate(series):
        for place, share in enumerate(_shares(counts)):
            height = HEIGHT * share / highest if highest else 0.0
            bars.append(
                Bar(
                    x=round(place * room + room * 0.1 + number * width, 1),
                    y=round(HEIGHT - height, 1),
                    width=round(width, 1),
                    height=round(height, 1),
                    kind=kind,
                    tells=f"{kind}, {labels[place]}: {counts[place]} ({share:.1%})",
                )
            )
    return bars


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def ranges(low: float, high: float, columns: int) -> list[str]:
    """What each column of a histogram spans."""
    step = (high - low) / max(1, columns)
    return [f"{low + i * step:.3f} to {low + (i + 1) * step:.3f}" for i in range(columns)]
