"""The only place where a provider is called: requests, and what is made of what they come to.

Each request has a turn of the limiter's, one of this process's calls, and a line in the ledger,
also when its answer is of no use. A single answer decides little:

- What passes is waited out, as long as the work's patience lasts.
- What befalls the same texts again while others are answered lies in them: they are asked for
  in halves, until the one that keeps failing is left aside with its reason.
- What is said of the key, the model, the account or the configuration counts when a text of
  our own is told the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Never

import numpy as np
import numpy.typing as npt

from migrations.embedding.work import PATIENCE_SECONDS, T, Work
from migrations.model.chunks import Embedded
from migrations.model.errors import (
    DimensionMismatch,
    InvalidVectors,
    PermanentError,
    ProviderAuthenticationFailed,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefuses,
    ProviderTooSlow,
    ProviderUnavailable,
    ReembedError,
    RequestError,
    TextRefused,
    TransientError,
)
from migrations.ports.embedders import PROVIDER_FAULTS, Embedder
from migrations.ports.limiter import Ticket
from migrations.process import tracing
from migrations.process.failpoints import failpoint
from migrations.process.standings import Standing

#: float32, shape (dimension,).
Vector = npt.NDArray[np.float32]

#: Nobody's texts: what a model says to them it says to all. Two, so that one can tell whether
#: it keeps answers apart; the first alone will do to see whether it answers.
OWN_TEXTS = ("reembed asks whether this model answers.", "reembed asks it for a second vector.")

#: What no text is to blame for, if it is true.
_VERDICTS = (
    *(ProviderAuthenticationFailed, ProviderQuotaExhausted, ProviderRefuses),
    *(DimensionMismatch, RequestError),
)
#: Failures of the same texts after which they are suspected, and of one text at the least.
_AGAIN = 2


@dataclass
class Answers:
    """What became of texts: each has a vector, or a reason why it has none."""

    vectors: dict[str, Vector] = field(default_factory=dict)
    refused: dict[str, PermanentError] = field(default_factory=dict)
    #: As billed, with what was of no use.
    tokens: int = 0
    #: That the calls took, without the waiting for turns.
    seconds: float = 0.0
    #: How many texts were sent cut short or in pieces.
    shortened: int = 0
    #: Whether the rest was not asked for.
    is_cut_off: bool = False

    def of(self, text: str) -> Vector:
        """The text's vector. Raises the reason why it has none."""
        if text in self.refused:
            raise self.refused[text]
        return self.vectors[text]


@dataclass
class _Part:
    """Texts of one request, and how they have failed so far."""

    texts: Sequence[str]
    #: Part of one that was suspected: it is halved again as soon as it fails, too.
    suspected: bool = False
    failures: int = 0
    #: The model was not well when they had failed: it is asked for a text of our own first.
    in_doubt: bool = False
    #: Answers of the model before the first of these failures.
    answers_before: int = 0

    def fails(self, answers_before: int) -> None:
        self.failures += 1
        if self.failures == 1 and not (self.suspected and len(self.texts) > 1):
            self.answers_before = answers_before

    def halves(self, *, suspected: bool) -> list[_Part]:
        middle = len(self.texts) // 2
        return [
            _Part(half, suspected, answers_before=self.answers_before)
            for half in (self.texts[:middle], self.texts[middle:])
        ]


@dataclass
class Asking:
    """Some texts and the model that is asked for them."""

    work: Work
    embedder: Embedder
    purpose: str
    insist: bool
    answers: Answers = field(default_factory=Answers)

    def __post_init__(self) -> None:
        self._standing: Standing = self.work.services.standings.of(self.embedder.ref)
        words = self.embedder.role.words
        #: Tokens that the role's words add to each text.
        self._of_role = quick_estimate([words]) if words else 0

    def ask_for(self, texts: Sequence[str]) -> None:
        # One request each, so that the limiter is asked for what is sent and no answer
        # is paid for again because the next one failed.
        pending = [_Part(texts[part]) for part in self.embedder.requests(texts)] if texts else []
        pending.reverse()
        while pending:
            part = pending.pop()
            most = self._standing.most_texts
            if most is not None and len(part.texts) > most:
                pending += part.halves(suspected=part.suspected)
            elif (fault := self._ask(part)) is None:
                continue
            elif len(part.texts) == 1:
                self.answers.refused[part.texts[0]] = _reason(fault)
            else:
                pending += part.halves(suspected=not isinstance(fault, ProviderTooSlow))

    def _ask(self, part: _Part) -> ReembedError | None:
        """Keep the part's vectors, or say what is wrong with its texts."""
        answer = self._patiently(lambda: self._tried(part))
        if isinstance(answer, ReembedError):
            return answer
        # Paid once it is there: one that was given up would be paid for again.
        self._pay(answer.tokens)
        self.answers.vectors.update(zip(part.texts, answer.vectors, strict=True))
        return None

    def _patiently(self, action: Callable[[], T]) -> T:
        return self.work.patiently(action) if self.insist else _for_a_while(self.work, action)

    def _pay(self, tokens: int) -> None:
        if tokens:
            self.answers.tokens += tokens
            self.work.pay(self.embedder.ref, self.purpose, tokens)

    # --- what a failure means ----------------------------------------------------

    def _tried(self, part: _Part) -> Embedded | ReembedError:
        """Raises what ends the work, and a TransientError when it is worth another try."""
        if part.in_doubt:
            self._expect_well(part)
        answers_before = self._standing.answers
        try:
            return self._call(part.texts)
        except ProviderRateLimited:
            raise
        except PROVIDER_FAULTS as error:
            fault: ReembedError = error
        # Out of its handler, since more is asked now, whose faults are no consequence of this one.
        self._pay(fault.billed_tokens)
        part.fails(answers_before)
        if set(part.texts) <= set(OWN_TEXTS):
            return self._about_own_texts(part, fault)
        return self._about_texts(part, fault)

    def _about_own_texts(self, part: _Part, fault: ReembedError) -> ReembedError:
        if not isinstance(fault, InvalidVectors):
            raise _as_verdict(fault)
        if self._asks_again(fault) and not self._is_enough(part):
            _try_again(fault)
        return fault

    def _about_texts(self, part: _Part, fault: ReembedError) -> ReembedError:
        if not self._asks_again(fault):
            if self._standing.refuses():
                self._expect_well(part)
            return fault
        if isinstance(fault, ProviderTooSlow) and len(part.texts) > 1:
            self._standing.took_too_long(len(part.texts))
            return fault
        if isinstance(fault, _VERDICTS):
            self._expect_well(part)
        if not self._is_enough(part):
            _try_again(fault)
        if self._standing.answers == part.answers_before:
            self._expect_well(part)
        return fault

    def _asks_again(self, fault: ReembedError) -> bool:
        """Not what is refused; nor nonsense, by somebody who does not wait long for an answer."""
        if isinstance(fault, InvalidVectors):
            return self.insist and self.work.max_retries > 0
        return not isinstance(fault, TextRefused)

    def _is_enough(self, part: _Part) -> bool:
        """Whether these texts have failed so often that they are to blame, if others are not."""
        if len(part.texts) > 1:
            return part.suspected or part.failures >= _AGAIN
        return part.failures >= max(_AGAIN, 1 + self.work.max_retries)

    def _expect_well(self, part: _Part) -> None:
        """Return when the model answers a text of our own.

        Raises:
            what it says of all texts, and a TransientError while it does not answer at all,
            which is nobody's fault: these texts are not suspected of what they met with.
        """
        fault = self._standing.probe(self._probe, self.work.must_go_on)
        part.in_doubt = fault is not None
        if fault is None:
            return
        if isinstance(fault, InvalidVectors) and self._asks_again(fault):
            part.failures += 1
            if part.failures <= self.work.max_retries:
                _try_again(fault)
        if isinstance(fault, TransientError):
            part.failures = 0
        raise _as_verdict(fault)

    def _probe(self) -> ReembedError | None:
        try:
            tokens, fault = self._call(OWN_TEXTS[:1]).tokens, None
        except PROVIDER_FAULTS as error:
            tokens, fault = error.billed_tokens, error
        self._pay(tokens)
        return fault

    # --- one call ----------------------------------------------------------------

    def _call(self, texts: Sequence[str]) -> Embedded:
        services, provider = self.work.services, self.embedder.ref.provider
        tokens = quick_estimate(texts) + self._of_role * len(texts)
        ticket = self.work.ticket(provider, tokens)
        with services.calls.one(provider, self.work.must_go_on):
            self._take_turn(ticket)
            begun = services.clock.monotonic()
            with self._traced(texts):
                read = self._call_in_turn(ticket, texts)
        embedded = read()  # without the slot: the next call is made meanwhile
        seconds = services.clock.monotonic() - begun
        self.answers.seconds += seconds
        services.limiter.settle(ticket, embedded.tokens)
        self._standing.answered(len(texts), seconds, services.settings.provider_timeout_seconds)
        return embedded

    def _traced(self, texts: Sequence[str]) -> AbstractContextManager[object]:
        ref = self.embedder.ref
        told = {"provider": ref.provider, "model": ref.model, "purpose": self.purpose}
        return tracing.span("embed", kind="client", texts=len(texts), **told)

    def _take_turn(self, ticket: Ticket) -> None:
        limiter = self.work.services.limiter
        while (seconds := limiter.acquire(ticket)) > 0:
            limiter.waited(ticket.provider, seconds)
            self.work.wait_for_turn(seconds, self.purpose)
        failpoint(f"{self.purpose}.before_call", migration_id=ticket.flow)
        self.work.must_go_on()  # the last thing before paying

    def _call_in_turn(self, ticket: Ticket, texts: Sequence[str]) -> Callable[[], Embedded]:
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


def _try_again(fault: ReembedError) -> Never:
    """Raises the fault as one that is waited out."""
    if isinstance(fault, TransientError):
        raise fault
    raise ProviderUnavailable(fault.message) from fault


def _as_verdict(fault: ReembedError) -> ReembedError:
    """A refusal of a text of our own is none of that text."""
    if isinstance(fault, TextRefused):
        refuses = ProviderRefuses(f"Any text is refused. {fault.message}", **fault.details)
        refuses.__cause__ = fault
        return refuses
    return fault


def _reason(fault: ReembedError) -> PermanentError:
    """Why a chunk has no vector."""
    if isinstance(fault, TextRefused | InvalidVectors):
        return fault
    reason = TextRefused(
        f"It fails whenever it is asked for, while others do not: {fault.message}", **fault.details
    )
    reason.__cause__ = fault
    return reason


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
