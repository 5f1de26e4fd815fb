"""What a migration would take: measured where that is cheap, and every figure says how."""

from __future__ import annotations

from itertools import islice

from migrations.embedding.embed import embed_texts
from migrations.embedding.work import Work
from migrations.model.bots import Bot
from migrations.model.config import EmbeddingRef
from migrations.model.report import Estimate
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.process.services import Services

#: Chunks whose texts are counted in tokens.
SAMPLE = 500
#: Texts embedded to measure the provider's pace; paid for like any others.
PROBE_TEXTS = 20
#: How often a run reads a whole collection while nobody writes: validation, planning, catching
#: up, the last reading and the first sweep the source; verification both sides.
READINGS = 7


def estimate(work: Work, bot: Bot, target: EmbeddingRef, batch_size: int) -> Estimate:
    """Estimate re-embedding the bot's collection with ``target`` in batches of ``batch_size``.

    Raises:
        VectorStoreUnavailable, CollectionNotFound, StateStoreUnavailable.
    """
    services = work.services
    schema = services.vectors.describe(bot.live.collection)
    chunks = services.vectors.count(schema.name)
    begun = services.clock.monotonic()
    sample = list(islice((c for page in services.vectors.scan(schema) for c in page), SAMPLE))
    reading = _reading_seconds(services.clock.monotonic() - begun, len(sample), chunks)
    texts = [bot.recipe.text_of(chunk.fields) for chunk in sample]
    tokens = _tokens(services, target, texts, chunks)
    seconds, how = _seconds(work, target, texts, chunks, batch_size)
    cost, cost_how = _cost(services, target, tokens)
    return Estimate(
        chunks=chunks,
        batches=-(-chunks // batch_size),
        tokens=tokens,
        cost_usd=cost,
        duration_seconds=round(seconds + reading, 1),
        vector_bytes=chunks * target.dimension * 4,
        sampled_chunks=len(sample),
        basis=[
            f"Tokens: {len(sample)} chunks counted, scaled to {chunks}.",
            how,
            _reading_basis(reading, len(sample)),
            cost_how,
        ],
    )


def _reading_seconds(seconds: float, sampled: int, chunks: int) -> float:
    return READINGS * seconds * chunks / sampled if sampled else 0.0


def _reading_basis(seconds: float, sampled: int) -> str:
    return (
        f"Time: {seconds:.1f} s more for reading the collections {READINGS} times, "
        f"by the pace of reading {sampled} chunks."
    )


def _tokens(services: Services, target: EmbeddingRef, texts: list[str], chunks: int) -> int:
    if not texts:
        return 0
    count = services.embedders.count_tokens
    return round(
        sum(count(target.provider, target.model, text) for text in texts) * chunks / len(texts)
    )


def _seconds(
    work: Work, target: EmbeddingRef, texts: list[str], chunks: int, batch_size: int
) -> tuple[float, str]:
    """One timed request, scaled: all batches, divided by the batches in flight."""
    probe = [text for text in texts if text][:PROBE_TEXTS]
    if not probe:
        return 0.0, "Time: there is nothing to embed."
    try:
        answers = embed_texts(work, target, probe, "estimate")
        answers.of(probe[0])
    except PROVIDER_FAULTS as error:
        return 0.0, f"Time: unknown, because the model did not answer ({error.message})."
    per_request = answers.seconds
    requests = -(-chunks // batch_size)
    in_flight = min(work.services.settings.provider_concurrency, max(1, requests))
    return (
        requests * per_request / in_flight,
        (
            f"Time: one request of {len(probe)} texts took {per_request:.3f} s; {requests} "
            f"requests, {in_flight} at a time."
        ),
    )


def _cost(services: Services, target: EmbeddingRef, tokens: int) -> tuple[float | None, str]:
    info = services.embedders.known(target.provider, target.model)
    if info is None or info.price_per_million_tokens_usd is None:
        return None, "Money: the catalogue has no price for this model."
    price = info.price_per_million_tokens_usd
    return (
        round(tokens * price / 1e6, 4),
        f"Money: ${price} per million tokens by the catalogue; your contract may differ.",
    )
