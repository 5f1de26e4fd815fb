"""Columns on a screen, laid out without rich, which takes as long to import as all else."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def laid_out(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[list[str]]:
    """Of each row its lines, every cell but the last as wide as its column.

    A cell may have several lines; its neighbours stand beside the first.
    """
    cells = [[cell.expandtabs().split("\n") for cell in row] for row in rows]
    widths = [
        max(cells_wide(line) for cell in column for line in cell)
        for column in zip(*cells, strict=True)
    ]
    return [
        [
            gap.join(
                _padded(cell[number] if number < len(cell) else "", width)
                for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for number in range(max(map(len, row)))
        ]
        for row in cells
    ]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cells_wide(text))


def cells_wide(text: str) -> int:
    """How many cells of a terminal it takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(letter) for letter in text)


def _cells(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
