"""From texts to vectors: the only place where a provider is called.

Each request has a turn of the limiter's, one of this process's calls, and a line in the
ledger. Equal texts are sent once, over-long ones are refused, cut or split, faults are waited
out as long as the work's patience lasts, poison is found by halving and left aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import structlog

from migrations.embedding.over_long import Parts, Policy, combined
from migrations.embedding.work import PATIENCE_SECONDS, T, Work
from migrations.model.chunks import Chunk, Embedded, Vectors
from migrations.model.config import EmbeddingRef, OverLong
from migrations.model.errors import (
    InvalidVectors,
    PermanentError,
    ProviderRateLimited,
    ProviderUnavailable,
    TextRefused,
    TransientError,
)
from migrations.ports.embedders import Embedder, Embedders
from migrations.ports.limiter import Ticket
from migrations.process.failpoints import failpoint
from migrations.run.patience import at_most, backoff_seconds
from migrations.run.run import Run

log = structlog.get_logger(__name__)

#: float32, shape (dimension,).
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """Chunks with the vectors of the same position, and those that could not be embedded."""

    chunks: list[Chunk]
    vectors: Vectors
    refused: list[tuple[Chunk, PermanentError]]
    tokens: int


@dataclass
class Answers:
    """What became of texts: each has a vector, or a reason why it has none."""

    vectors: dict[str, Vector] = field(default_factory=dict)
    refused: dict[str, PermanentError] = field(default_factory=dict)
    #: As billed.
    tokens: int = 0
    #: That the calls took, without the waiting for turns.
    seconds: float = 0.0
    #: How many texts were sent cut short or in pieces.
    shortened: int = 0

    def of(self, text: str) -> Vector:
        """The text's vector. Raises the reason why it has none."""
        if text in self.refused:
            raise self.refused[text]
        return self.vectors[text]


def embed(run: Run, chunks: Sequence[Chunk], purpose: str) -> Outcome:
    """Embed the chunks' texts with the target's model.

    A text the provider refuses is reported; its neighbours are embedded all the same. A text
    longer than the model takes is treated as the migration's ``over_long`` says.

    Raises:
        Superseded, TimedOut; Postponed for a batch that has waited too long for its turn;
        PermanentError for what no other chunk would survive either.
    """
    config = run.migration.config
    texts = [run.text_of(chunk) for chunk in chunks]
    answers = embed_texts(run, config.target, texts, purpose, over_long=config.over_long)
    if answers.shortened:
        _tell_of_shortened(run, config.over_long, answers.shortened)
    kept = [i for i, text in enumerate(texts) if text in answers.vectors]
    vectors = np.empty((len(kept), config.to_dimension), dtype=np.float32)
    for row, i in enumerate(kept):
        vectors[row] = answers.vectors[texts[i]]
    refused = answers.refused
    return Outcome(
        chunks=[chunks[i] for i in kept],
        vectors=vectors,
        refused=[(c, refused[t]) for c, t in zip(chunks, texts, strict=True) if t in refused],
        tokens=answers.tokens,
    )


def embed_texts(
    work: Work,
    ref: EmbeddingRef,
    texts: Iterable[str],
    purpose: str,
    *,
    over_long: OverLong = OverLong.REFUSE,
    insist: bool = True,
) -> Answers:
    """Embed texts with any model, on behalf of ``work``.

    ``purpose`` is what the ledger says it was for. Without ``insist``, a model that does not
    answer for :data:`PATIENCE_SECONDS` is given up, also by a run, and nonsense is not asked
    for again: for a model that one can do without.

    Raises:
        what ends the work, and what the provider answers to any text
        (see :data:`migrations.ports.embedders.PROVIDER_FAULTS`).
    """
    embedders = work.services.embedders
    planned, refused = _plan(_policy(embedders, ref, over_long), dict.fromkeys(texts))
    pieces = list(dict.fromkeys(piece for parts in planned.values() for piece in parts.texts))
    asking = _Asking(work, embedders.get(ref), purpose, insist)
    asking.ask_for(pieces)
    answers = asking.answers
    return Answers(
        *_put_together(planned, answers, refused),
        answers.tokens,
        answers.seconds,
        shortened=sum(parts.texts != (text,) for text, parts in planned.items()),
    )


def find_dimension(work: Work, provider: str, model: str) -> int:
    """The model's own dimension: as it is known, else by asking the model.

    Raises:
        UnknownProvider, UnknownModel, ProviderKeyMissing and what :func:`embed_texts` raises.
    """
    embedders = work.services.embedders
    known = embedders.dimension_of(provider, model)
    if known is not None:
        return known
    asking = _Asking(work, embedders.of_own_dimension(provider, model), "dimension", insist=False)
    asking.ask_for(["dimension"])
    return len(asking.answers.of("dimension"))


def _put_together(
    planned: dict[str, Parts], answers: Answers, refused: dict[str, PermanentError]
) -> tuple[dict[str, Vector], dict[str, PermanentError]]:
    """Each text's vector, and all that have none with the reason."""
    found: dict[str, Vector] = {}
    for text, parts in planned.items():
        error = next((answers.refused[p] for p in parts.texts if p in answers.refused), None)
        try:
            if error is None:
                found[text] = combined(parts, answers.vectors)
        except InvalidVectors as cancelled:
            error = cancelled
        if error is not None:
            refused[text] = error
    return found, refused


# --- texts that are too long ---------------------------------------------------


def _plan(
    policy: Policy, texts: Iterable[str]
) -> tuple[dict[str, Parts], dict[str, PermanentError]]:
    """What is sent for each text, and the texts that are refused without asking."""
    planned: dict[str, Parts] = {}
    refused: dict[str, PermanentError] = {}
    for text in texts:
        try:
            planned[text] = policy.parts(text)
        except TextRefused as error:
            refused[text] = error
    return planned, refused


def _policy(embedders: Embedders, ref: EmbeddingRef, over_long: OverLong) -> Policy:
    info = embedders.known(ref.provider, ref.model)
    return Policy(
        over_long,
        info.max_input_tokens if info else None,
        lambda text: embedders.count_tokens(ref.provider, ref.model, text),
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


@dataclass
class _Asking:
    """Some texts and the model that is asked for them."""

    work: Work
    embedder: Embedder
    purpose: str
    insist: bool
    answers: Answers = field(default_factory=Answers)

    def ask_for(self, texts: list[str]) -> None:
        # One request each, so that the limiter is asked for what is sent and no answer
        # is paid for again because the next one failed.
        pending = [texts[part] for part in self.embedder.requests(texts)] if texts else []
        pending.reverse()
        while pending:
            part = pending.pop()
            try:
                embedded = self._answer(part)
            except (TextRefused, InvalidVectors) as error:
                if len(part) == 1:
                    self.answers.refused[part[0]] = error
                else:
                    middle = len(part) // 2
                    pending += [part[:middle], part[middle:]]
                continue
            self.answers.tokens += embedded.tokens
            self.answers.vectors.update(zip(part, embedded.vectors, strict=True))

    def _answer(self, texts: list[str]) -> Embedded:
        """One answer for these texts; a nonsensical one is asked for again ``max_retries`` times.

        It is paid once it is there: one that was given up would be paid for again.
        """
        work = self.work
        tries = 1 + (work.max_retries if self.insist else 0)
        embedded = at_most(
            tries,
            lambda: self._patiently(lambda: self._call(texts)),
            InvalidVectors,
            lambda _, attempt: work.wait(backoff_seconds(work.retry_delay, attempt)),
        )
        work.pay(self.embedder.ref, self.purpose, embedded.tokens)
        return embedded

    def _patiently(self, action: Callable[[], T]) -> T:
        return self.work.patiently(action) if self.insist else _for_a_while(self.work, action)

    def _call(self, texts: list[str]) -> Embedded:
        services, provider = self.work.services, self.embedder.ref.provider
        ticket = self.work.ticket(provider, quick_estimate(texts))
        with services.calls.one(provider, self.work.must_go_on):
            self._take_turn(ticket)
            begun = services.clock.monotonic()
            read = self._call_in_turn(ticket, texts)
        embedded = read()  # without the slot: the next call is made meanwhile
        self.answers.seconds += services.clock.monotonic() - begun
        services.limiter.settle(ticket, embedded.tokens)
        return embedded

    def _take_turn(self, ticket: Ticket) -> None:
        while (seconds := self.work.services.limiter.acquire(ticket)) > 0:
            self.work.wait_for_turn(seconds, self.purpose)
        failpoint(f"{self.purpose}.before_call", migration_id=ticket.flow)
        self.work.must_go_on()  # the last thing before paying

    def _call_in_turn(self, ticket: Ticket, texts: list[str]) -> Callable[[], Embedded]:
        limiter = self.work.services.limiter
        try:
            return self.embedder.ask(texts)
        except TransientError as error:
            if isinstance(error, ProviderRateLimited):
                limiter.refused(ticket.provider)
            if error.retry_after_seconds:  # the provider means all of us, not only this work
                limiter.pause(ticket.provider, error.retry_after_seconds)
                self.work.put_off(error.retry_after_seconds, self.purpose)
            raise


class _GivenUp(Exception):
    """Carries a passing fault past those who would wait until it has passed."""

    def __init__(self, fault: ProviderUnavailable) -> None:
        super().__init__(fault)
        self.fault = fault


def _for_a_while(work: Work, action: Callable[[], T]) -> T:
    """As ``patiently``, until the provider has not answered for :data:`PATIENCE_SECONDS`."""
    clock = work.services.clock
    until = float("inf")

    def tried() -> T:
        nonlocal until
        try:
            return action()
        except ProviderUnavailable as fault:
            until = min(until, clock.monotonic() + PATIENCE_SECONDS)
            if clock.monotonic() + (fault.retry_after_seconds or 0.0) >= until:
                raise _GivenUp(fault) from fault
            raise

    try:
        return work.patiently(tried)
    except _GivenUp as given_up:
        fault = given_up.fault
    raise fault


def quick_estimate(texts: Sequence[str]) -> int:
    """Tokens, roughly: a token for four ASCII characters or one and a half others.

    Counting properly costs a tenth of a core at full speed; the limiter corrects
    this by what earlier estimates came to.
    """
    return sum(len(t) // 4 + 1 if t.isascii() else len(t) * 2 // 3 + 1 for t in texts)
