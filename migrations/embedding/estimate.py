"""What a migration would take: measured where that is cheap, and every figure says how."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from migrations.embedding.embed import embed_texts
from migrations.embedding.pace import Amount, requests_of, seconds_for
from migrations.embedding.prices import price_of
from migrations.embedding.work import Work
from migrations.model.bots import Bot
from migrations.model.config import EmbeddingRef
from migrations.model.looked_up import read_with_texts
from migrations.model.questions import part_of
from migrations.model.report import Estimate
from migrations.model.roles import TextRole
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.process.services import Services

#: Chunks whose texts are counted in tokens.
SAMPLE = 500
#: Texts embedded to measure the provider's pace; paid for like any others.
PROBE_TEXTS = 20
#: How often a run reads a whole collection while nobody writes: validation, planning, catching
#: up, the last reading and the first sweep the source; verification both sides.
READINGS = 7


def estimate(
    work: Work,
    bot: Bot,
    target: EmbeddingRef,
    batch_size: int,
    validated: int,
    asked_in_roles: int = 0,
) -> Estimate:
    """Estimate re-embedding the bot's collection with ``target`` in batches of ``batch_size``.

    ``validated``: chunks that validation embeds with the present model, if there are so many.
    ``asked_in_roles``: texts that it asks of a target that wants questions otherwise than
    documents; of such a model verification embeds its sample as questions, too.

    Raises:
        VectorStoreUnavailable, CollectionNotFound, StateStoreUnavailable.
    """
    services = work.services
    schema = services.vectors.describe(bot.live.collection, bot.vector_field)
    schema = read_with_texts(schema, bot.recipe)
    chunks = services.vectors.count(schema.name)
    begun = services.clock.monotonic()
    sample = list(islice((c for page in services.vectors.scan(schema) for c in page), SAMPLE))
    reading = _reading_seconds(services.clock.monotonic() - begun, len(sample), chunks)
    texts = [bot.recipe.text_of(chunk.fields) for chunk in sample]
    verified = min(chunks, services.settings.verify_sample)
    validated = min(chunks, validated)
    old = bot.live.embedding
    questions = _questions(target, verified + min(2 * chunks, asked_in_roles))
    golden = [query.text for query in services.store.golden_queries(bot.bot_id)]
    asked, old_asked = (
        _question_tokens(services, ref, texts, chunks)
        + _tokens(services, ref, ref.query_role, golden, len(golden))
        for ref in (target, old)
    )
    again = _tokens(services, target, target.document_role, texts, verified)
    again += _tokens(services, target, target.query_role, texts, _questions(target, verified))
    tokens = _tokens(services, target, target.document_role, texts, chunks + verified) + asked
    tokens += _tokens(services, target, target.query_role, texts, questions)
    old_tokens = _tokens(services, old, old.document_role, texts, validated) + old_asked
    of_old = _questions(old, verified)
    old_tokens += _tokens(services, old, old.query_role, texts, of_old)
    seconds, how = _seconds(work, target, texts, chunks, verified, tokens, batch_size)
    cost, cost_how = cost_of(services, [(target, tokens), (old, old_tokens)])
    return Estimate(
        chunks=chunks,
        batches=-(-chunks // batch_size),
        tokens=tokens + old_tokens,
        verification_tokens=again + asked + old_asked,
        cost_usd=cost,
        duration_seconds=round(seconds + reading, 1),
        vector_bytes=chunks * target.dimension * 4,
        sampled_chunks=len(sample),
        basis=[
            _tokens_basis(len(sample), chunks, verified, validated, questions + of_old),
            how,
            _reading_basis(reading, len(sample)),
            cost_how,
            _verification_basis(again, asked + old_asked),
        ],
    )


def _questions(ref: EmbeddingRef, texts: int) -> int:
    """So many are embedded once more where questions are not embedded as documents are."""
    return 0 if ref.query_role == ref.document_role else texts


def _tokens_basis(sampled: int, chunks: int, verified: int, validated: int, questions: int) -> str:
    return (
        f"Tokens: {sampled} chunks counted, scaled to {chunks}; {verified} more for verification, "
        f"and {validated} by the present model for validation"
        + (f"; {questions} texts as questions." if questions else ".")
    )


def _verification_basis(again: int, asked: int) -> str:
    return (
        f"Verification: {again} tokens by the new model for texts that are embedded again, "
        f"{asked} by both for parts of texts and golden queries; neighbourhoods take none."
    )


def _reading_seconds(seconds: float, sampled: int, chunks: int) -> float:
    return READINGS * seconds * chunks / sampled if sampled else 0.0


def _reading_basis(seconds: float, sampled: int) -> str:
    return (
        f"Time: {seconds:.1f} s more for reading the collections {READINGS} times, "
        f"by the pace of reading {sampled} chunks."
    )


def _tokens(
    services: Services, ref: EmbeddingRef, role: TextRole, texts: list[str], chunks: int
) -> int:
    if not texts or not chunks:
        return 0
    count = services.embedders.count_tokens
    sent = role.around_all(texts)
    return round(sum(count(ref.provider, ref.model, text) for text in sent) * chunks / len(texts))


def _question_tokens(services: Services, ref: EmbeddingRef, texts: list[str], chunks: int) -> int:
    """Of the parts of texts that both collections are asked with."""
    parts = [part for part in map(part_of, texts) if part is not None]
    if not parts:
        return 0
    at_most = min(services.settings.verify_questions, chunks * len(parts) // len(texts))
    return _tokens(services, ref, ref.query_role, parts, at_most)


def _seconds(
    work: Work,
    target: EmbeddingRef,
    texts: list[str],
    chunks: int,
    verified: int,
    tokens: int,
    batch_size: int,
) -> tuple[float, str]:
    """By one timed request, and by the provider's limit."""
    services = work.services
    probe = [text for text in texts if text][:PROBE_TEXTS]
    if not probe:
        return 0.0, "Time: there is nothing to embed."
    try:
        answers = embed_texts(work, target, probe, "estimate")
        answers.of(probe[0])
        requests = sum(
            requests_of(services, target, texts, many, batch_size) for many in (chunks, verified)
        )
    except PROVIDER_FAULTS as error:
        return 0.0, f"Time: unknown, because the model did not answer ({error.message})."
    amount = Amount(requests, tokens)
    seconds, decides = seconds_for(services, target, amount, answers.seconds)
    return seconds, (
        f"Time: one request of {len(probe)} texts took {answers.seconds:.3f} s; {decides}."
    )


def cost_of(
    services: Services, tokens: Sequence[tuple[EmbeddingRef, int]]
) -> tuple[float | None, str]:
    """Of the target's model, and of the present one if its price is known as well."""
    known = [(ref.model, price_of(services, ref.provider, ref.model), many) for ref, many in tokens]
    priced = [(model, price, many) for model, price, many in known if price is not None]
    if known[0][1] is None:
        return None, "Money: nobody has said a price of this model (REEMBED_PRICES)."
    prices = ", ".join(dict.fromkeys(f"${price} for {model}" for model, price, _ in priced))
    return (
        round(sum(price * many for _, price, many in priced) / 1e6, 4),
        f"Money: per million tokens {prices}, as stated in REEMBED_PRICES, else by list prices.",
    )
