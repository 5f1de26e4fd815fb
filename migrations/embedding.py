"""From chunks to vectors: each text once, faults waited out, poison found and left aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from migrations.chunks import Chunk, Embedded, Vectors
from migrations.errors import InvalidVectors, PermanentError, TextRefused, TransientError
from migrations.failpoints import failpoint
from migrations.run import Run, backoff_seconds


@dataclass(frozen=True)
class Outcome:
    """Chunks with the vectors of the same position, and those that could not be embedded."""

    chunks: list[Chunk]
    vectors: Vectors
    refused: list[tuple[Chunk, PermanentError]]
    tokens: int


def embed(run: Run, chunks: Sequence[Chunk], purpose: str) -> Outcome:
    """Embed the chunks' texts with the target's model.

    Equal texts are sent once. A text the provider refuses is found by halving
    and reported; its neighbours are embedded all the same.

    Raises:
        Superseded, TimedOut; PermanentError for what no other chunk would survive either.
    """
    texts = [run.text_of(chunk) for chunk in chunks]
    distinct = list(dict.fromkeys(texts))
    answers, refused, tokens = _embed_texts(run, distinct, purpose)
    kept = [i for i, text in enumerate(texts) if text in answers]
    vectors = np.empty((len(kept), run.migration.config.to_dimension), dtype=np.float32)
    for row, i in enumerate(kept):
        vectors[row] = answers[texts[i]]
    return Outcome(
        chunks=[chunks[i] for i in kept],
        vectors=vectors,
        refused=[(c, refused[t]) for c, t in zip(chunks, texts, strict=True) if t in refused],
        tokens=tokens,
    )


def _embed_texts(
    run: Run, texts: list[str], purpose: str
) -> tuple[dict[str, np.ndarray], dict[str, PermanentError], int]:
    answers: dict[str, np.ndarray] = {}
    refused: dict[str, PermanentError] = {}
    tokens = 0
    pending = [texts] if texts else []
    while pending:
        part = pending.pop()
        try:
            embedded = _ask(run, part, purpose)
        except (TextRefused, InvalidVectors) as error:
            if len(part) == 1:
                refused[part[0]] = error
            else:
                middle = len(part) // 2
                pending += [part[:middle], part[middle:]]
            continue
        tokens += embedded.tokens
        answers.update(zip(part, embedded.vectors, strict=True))
    return answers, refused, tokens


def _ask(run: Run, texts: list[str], purpose: str) -> Embedded:
    """One answer for these texts; a nonsensical one is asked for again ``max_retries`` times."""
    config = run.migration.config
    for attempt in range(config.max_retries + 1):
        try:
            embedded = run.patiently(lambda: _call(run, texts))
        except InvalidVectors:
            if attempt == config.max_retries:
                raise
            run.wait(backoff_seconds(config.retry_delay, attempt))
            continue
        run.services.store.record_spend(
            run.migration.id, config.to_provider, config.to_model, purpose, embedded.tokens
        )
        return embedded
    raise AssertionError("the last attempt returns or raises")


def _call(run: Run, texts: list[str]) -> Embedded:
    limiter, provider = run.services.limiter, run.migration.config.to_provider
    while (seconds := limiter.wait_seconds(provider)) > 0:
        run.wait(seconds)
    run.check()
    failpoint("embed.before_call", migration_id=run.migration.id, epoch=run.migration.epoch)
    try:
        return run.embedder.embed(texts)
    except TransientError as error:
        if error.retry_after_seconds:  # the provider means all of us, not only this batch
            limiter.pause(provider, error.retry_after_seconds)
        raise
