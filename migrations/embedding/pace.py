"""How long embedding takes: by the pace of an answer, and by what the provider's limit lets in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from migrations.model.config import EmbeddingRef
from migrations.ports.limiter import Kind
from migrations.process.services import Services


@dataclass(frozen=True)
class Amount:
    """What is sent to one model in all."""

    requests: int
    tokens: int


def requests_of(
    services: Services, ref: EmbeddingRef, texts: Sequence[str], chunks: int, batch_size: int
) -> int:
    """Requests for ``chunks`` texts like these in batches: more than one where a batch has more
    texts or tokens than the provider takes at once.

    Raises:
        UnknownProvider, UnknownModel, ProviderKeyMissing, InvalidConfiguration.
    """
    if not texts or not chunks:
        return 0
    batch = list(islice(cycle(texts), min(batch_size, chunks)))
    embedder = services.embedders.get(ref, ref.document_role)
    return -(-chunks // batch_size) * len(embedder.requests(batch))


def seconds_for(
    services: Services, ref: EmbeddingRef, amount: Amount, seconds_per_request: float
) -> tuple[float, str]:
    """The time for this, and the sentence that says what decides about it.

    By one worker, which has so many calls under way as its settings say; a limit holds for all
    workers together. Limits are those set by hand or announced; one that is only found out by
    being refused is not known here.
    """
    at_once = min(services.settings.provider_concurrency, max(1, amount.requests))
    by_pace = amount.requests * seconds_per_request / at_once
    longest, how = by_pace, f"{amount.requests} requests, {at_once} at a time"
    limits = services.limiter.limits(ref.provider)
    amounts: dict[Kind, int] = {"requests": amount.requests, "tokens": amount.tokens}
    for kind, limit in limits.items():
        seconds = 60 * amounts[kind] / limit
        if seconds > longest:
            longest, how = seconds, f"the limit of {limit:,.0f} {kind} a minute decides"
    return longest, how
