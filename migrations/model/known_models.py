"""What is known of an embedding model beforehand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """A known model. ``price_per_million_tokens_usd`` is 0 for a local model."""

    provider: str
    model: str
    default_dimension: int
    #: Dimensions it can be asked for; None means any from 1 to the default.
    dimensions: tuple[int, ...] | None
    max_input_tokens: int
    price_per_million_tokens_usd: float | None

    def supports(self, dimension: int) -> bool:
        if self.dimensions is None:
            return 1 <= dimension <= self.default_dimension
        return dimension in self.dimensions
