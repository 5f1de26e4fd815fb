"""From chunks to vectors: each text once, faults waited out, poison found and left aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from migrations.embedding.over_long import Parts, Policy, combined
from migrations.model.chunks import Chunk, Embedded, Vectors
from migrations.model.config import OverLong
from migrations.model.errors import (
    InvalidVectors,
    PermanentError,
    Postponed,
    ProviderRateLimited,
    TextRefused,
    TransientError,
)
from migrations.ports.limiter import Ticket
from migrations.process.failpoints import failpoint
from migrations.run.run import Run, backoff_seconds

log = structlog.get_logger(__name__)

#: A batch that has waited so long for its turns at the provider is put off. Well below
#: the broker's visibility timeout, after which its message would be given out again.
LONGEST_WAIT_SECONDS = 600.0


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
    and reported; its neighbours are embedded all the same. A text longer than the
    model takes is treated as the migration's ``over_long`` says.

    Raises:
        Superseded, TimedOut; Postponed for a batch that has waited too long for its turn;
        PermanentError for what no other chunk would survive either.
    """
    texts = [run.text_of(chunk) for chunk in chunks]
    planned, refused = _plan(run, list(dict.fromkeys(texts)))
    pieces = list(dict.fromkeys(piece for parts in planned.values() for piece in parts.texts))
    answers, refused_pieces, tokens = _embed_texts(run, pieces, purpose)
    found = _put_together(planned, answers, refused_pieces, refused)
    kept = [i for i, text in enumerate(texts) if text in found]
    vectors = np.empty((len(kept), run.migration.config.to_dimension), dtype=np.float32)
    for row, i in enumerate(kept):
        vectors[row] = found[texts[i]]
    return Outcome(
        chunks=[chunks[i] for i in kept],
        vectors=vectors,
        refused=[(c, refused[t]) for c, t in zip(chunks, texts, strict=True) if t in refused],
        tokens=tokens,
    )


def _put_together(
    planned: dict[str, Parts],
    answers: dict[str, np.ndarray],
    refused_pieces: dict[str, PermanentError],
    refused: dict[str, PermanentError],
) -> dict[str, np.ndarray]:
    """Each text's vector; those that have none are added to ``refused``."""
    found: dict[str, np.ndarray] = {}
    for text, parts in planned.items():
        error = next((refused_pieces[p] for p in parts.texts if p in refused_pieces), None)
        try:
            if error is None:
                found[text] = combined(parts, answers)
        except InvalidVectors as cancelled:
            error = cancelled
        if error is not None:
            refused[text] = error
    return found


# --- texts that are too long ---------------------------------------------------


def _plan(run: Run, texts: Sequence[str]) -> tuple[dict[str, Parts], dict[str, PermanentError]]:
    """What is sent for each text, and the texts that are refused without asking."""
    policy = _policy(run)
    planned: dict[str, Parts] = {}
    refused: dict[str, PermanentError] = {}
    shortened = 0
    for text in texts:
        try:
            planned[text] = policy.parts(text)
        except TextRefused as error:
            refused[text] = error
        else:
            shortened += planned[text].texts != (text,)
    if shortened:
        _tell_of_shortened(run, policy.over_long, shortened)
    return planned, refused


def _policy(run: Run) -> Policy:
    config, embedders = run.migration.config, run.services.embedders
    info = embedders.known(config.to_provider, config.to_model)
    return Policy(
        config.over_long,
        info.max_input_tokens if info else None,
        lambda text: embedders.count_tokens(config.to_provider, config.to_model, text),
    )


def _tell_of_shortened(run: Run, over_long: OverLong, texts: int) -> None:
    """Validation has counted them; those written since are warned of once, all together."""
    log.warning("texts_shortened", over_long=over_long.value, texts=texts)
    if any("longer than the" in warning for warning in run.migration.warnings):
        return
    warning = f"Texts longer than the model takes were written meanwhile; over_long: {over_long}."
    try:
        run.services.store.note(run.migration.id, run.migration.epoch, warnings=[warning])
    except TransientError as error:
        log.warning("note_failed", reason=error.message)


# --- requests ------------------------------------------------------------------


def _embed_texts(
    run: Run, texts: list[str], purpose: str
) -> tuple[dict[str, np.ndarray], dict[str, PermanentError], int]:
    answers: dict[str, np.ndarray] = {}
    refused: dict[str, PermanentError] = {}
    tokens = 0
    # One request each, so that the limiter is asked for what is sent and no answer
    # is paid for again because the next one failed.
    pending = [texts[part] for part in run.embedder.requests(texts)] if texts else []
    pending.reverse()
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
            embedded = run.patiently(lambda: _call(run, texts, purpose))
        except InvalidVectors:
            if attempt == config.max_retries:
                raise
            run.wait(backoff_seconds(config.retry_delay, attempt))
            continue
        _record(run, purpose, embedded.tokens)
        return embedded
    raise AssertionError("the last attempt returns or raises")


def _record(run: Run, purpose: str, tokens: int) -> None:
    """Waits for PostgreSQL: an answer that was given up would be paid for again."""
    config, store = run.migration.config, run.services.store
    run.patiently(
        lambda: store.record_spend(
            run.migration.id, config.to_provider, config.to_model, purpose, tokens
        )
    )


def _call(run: Run, texts: list[str], purpose: str) -> Embedded:
    provider, limiter = run.migration.config.to_provider, run.services.limiter
    may_be_put_off = purpose == "data_migration"  # a batch; phases are waited for
    ticket = limiter.ticket(provider, quick_estimate(texts), migration_id=run.migration.id)
    with run.services.calls.one(provider, run.must_go_on):
        read = _call_in_turn(run, ticket, texts, may_be_put_off)
    embedded = read()  # without the slot: the next call is made meanwhile
    limiter.settle(ticket, embedded.tokens)
    return embedded


def _call_in_turn(
    run: Run, ticket: Ticket, texts: list[str], may_be_put_off: bool
) -> Callable[[], Embedded]:
    provider, limiter = ticket.provider, run.services.limiter
    _take_turn(run, ticket, may_be_put_off)
    failpoint("embed.before_call", migration_id=run.migration.id, epoch=run.migration.epoch)
    run.must_go_on()  # the last thing before paying
    try:
        return run.embedder.ask(texts)
    except TransientError as error:
        if isinstance(error, ProviderRateLimited):
            limiter.refused(provider)
        if error.retry_after_seconds:  # the provider means all of us, not only this batch
            limiter.pause(provider, error.retry_after_seconds)
            if may_be_put_off and error.retry_after_seconds > _patience_left(run):
                raise Postponed from error
        raise


def _take_turn(run: Run, ticket: Ticket, may_be_put_off: bool) -> None:
    while (seconds := run.services.limiter.acquire(ticket)) > 0:
        if may_be_put_off and _patience_left(run) <= 0:
            raise Postponed
        if may_be_put_off:
            seconds = min(seconds, _patience_left(run))
        run.waited_for_limit_seconds += seconds
        run.wait(seconds)


def _patience_left(run: Run) -> float:
    return LONGEST_WAIT_SECONDS - run.waited_for_limit_seconds


def quick_estimate(texts: Sequence[str]) -> int:
    """Tokens, roughly: a token for four ASCII characters or one and a half others.

    Counting properly costs a tenth of a core at full speed; the limiter corrects
    this by what earlier estimates came to.
    """
    return sum(len(t) // 4 + 1 if t.isascii() else len(t) * 2 // 3 + 1 for t in texts)
