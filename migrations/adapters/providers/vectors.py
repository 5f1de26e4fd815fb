"""A vector that is stored must be one a search can find: finite and not zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from migrations.model.chunks import Vectors
from migrations.model.errors import InvalidVectors


def check_vectors(vectors: Vectors, source: str) -> Vectors:
    """The same vectors, when every row is finite and has a length.

    Args:
        vectors: float32, shape (rows, dimension).
        source: Who made them, for the message.

    Raises:
        InvalidVectors: naming the first bad row.
    """
    # A NaN or infinity anywhere in a row makes its sum of squares not finite.
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if not _usable(squares).all():
        # Once more in float64, where the square of no float32 over- or underflows.
        squares = np.square(vectors, dtype=np.float64).sum(axis=1)
    good = _usable(squares)
    if not good.all():
        row = int(np.argmin(good))
        fault = "a zero vector" if squares[row] == 0 else "a vector that is not finite"
        raise InvalidVectors(f"{source} answered with {fault} for text {row}.", position=row)
    return vectors


def _usable(squares: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    usable: npt.NDArray[np.bool_] = np.isfinite(squares) & (squares > 0)
    return usable
