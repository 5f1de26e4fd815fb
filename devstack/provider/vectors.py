"""Vectors that are a function of (model, text), cheap enough for thousands a second.

Each model has a table of random rows. A text's digest picks three rows and a
weight for each; their weighted sum, brought to length 1, is its vector. The
picks depend on the text alone, so texts that share rows are near each other
in every model, and a retrieval check that compares two models finds agreement
as it would with real ones. Fewer dimensions are the first of the larger
vector, brought to length 1 again, as OpenAI's are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from devstack.provider.families import vectors_in_roles, without_role

Vectors = npt.NDArray[np.float32]

MAX_DIMENSION = 4096
NOTHING: Mapping[str, Any] = MappingProxyType({})
_ROWS = 1024
_PICKS = 3


@lru_cache(maxsize=8)
def _table(model: str) -> Vectors:
    seed = int.from_bytes(hashlib.blake2b(model.encode(), digest_size=8).digest(), "big")
    rows = np.random.default_rng(seed).standard_normal((_ROWS, MAX_DIMENSION), dtype=np.float32)
    rows.flags.writeable = False
    return rows


@lru_cache(maxsize=16)
def _cut_table(model: str, dimension: int) -> Vectors:
    return np.ascontiguousarray(_table(model)[:, :dimension])


def vectors_for(
    model: str, texts: Sequence[str], dimension: int, parameters: Mapping[str, Any] = NOTHING
) -> Vectors:
    """The vectors of these texts: float32, shape (len(texts), dimension), length 1.

    Bit for bit the same whichever other texts are asked for with them. Models that take
    documents and queries otherwise see which of them a text is by the ``parameters`` of the
    request, or by its first words; see :mod:`devstack.provider.families`.
    """
    if not 1 <= dimension <= MAX_DIMENSION:
        raise ValueError(f"dimension must be 1 to {MAX_DIMENSION}, not {dimension}")
    table = _cut_table(without_role(model), dimension)
    in_roles = vectors_in_roles(model, texts, table, parameters)
    if in_roles is not None:
        return in_roles
    digests = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4 * _PICKS).digest()
        for text in texts
    )
    parts = np.frombuffer(digests, dtype="<u2").reshape(len(texts), 2, _PICKS)
    picks = parts[:, 0] % _ROWS
    weights = 0.5 + parts[:, 1].astype(np.float32) / np.float32(65_536)
    vectors: Vectors = table[picks[:, 0]] * weights[:, :1]
    for pick in range(1, _PICKS):
        vectors += table[picks[:, pick]] * weights[:, pick : pick + 1]
    # Summed row by row and not by BLAS, whose rounding depends on the batch's shape.
    vectors /= np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    return vectors


def vector_for(
    model: str, text: str, dimension: int, parameters: Mapping[str, Any] = NOTHING
) -> npt.NDArray[np.float32]:
    """The vector of one text: float32, shape (dimension,)."""
    vectors = vectors_for(model, [text], dimension, parameters)
    return vectors.reshape(dimension)


def tokens_of(text: str) -> int:
    """What the stub bills for a text: a token for every four characters begun."""
    return max(1, -(-len(text) // 4))
