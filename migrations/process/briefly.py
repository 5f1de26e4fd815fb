"""Asking a service that may hang, for somebody who does not wait long for its answer.

A call ends by its own timeout, which is made for work that waits: half a minute. Whoever only
looks would hold a thread for as long, and many who look would hold all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from migrations.model.errors import NoAnswer, ReembedError

PATIENCE_SECONDS = 1.0
#: How long what was found of all services is answered to whoever asks.
FRESH_SECONDS = 1.0

T = TypeVar("T")


class Briefly:
    """One service, for all threads of a process.

    While a question is overdue nobody waits for another. When it has ended, one asker tries
    whether the service is back, and only when it is do the others ask again.
    """

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._overdue = 0
        self._doubted = False
        self._tried = False

    def ask(self, question: Callable[[], T]) -> T:
        """Its answer. Raises what it raises; NoAnswer when it takes longer than anybody waits."""
        return self.begin(question)()

    def begin(self, question: Callable[[], T]) -> Callable[[], T]:
        """The same in two steps, for several services at once: begin with all, then wait."""
        with self._lock:
            if self._overdue or self._tried:
                return self._refuse
            self._tried = self._doubted
        asked: Future[T] = Future()
        threading.Thread(target=_settle, args=(asked, question), daemon=True).start()
        return lambda: self._wait(asked)

    def _wait(self, asked: Future[T]) -> T:
        try:
            error = asked.exception(self._patience)
        except TimeoutError:
            self._note(overdue=1, doubted=True)
            asked.add_done_callback(lambda _: self._note(overdue=-1, doubted=True))
            return self._refuse()
        self._note(overdue=0, doubted=False)
        if error is not None:
            raise error
        return asked.result()

    def _note(self, *, overdue: int, doubted: bool) -> None:
        with self._lock:
            self._overdue += overdue
            self._doubted = doubted
            self._tried = False

    def _refuse(self) -> T:  # type: ignore[type-var]  # it never returns
        raise NoAnswer(f"No answer within {self._patience:g} s.")


def _settle(asked: Future[T], question: Callable[[], T]) -> None:
    try:
        asked.set_result(question())
    except BaseException as error:
        asked.set_exception(error)  # for whoever waits


@dataclass
class Found:
    """What became of asking each service."""

    #: None, or why it does not answer.
    dependencies: dict[str, str | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(self, name: str, answer: Callable[[], str | None]) -> None:
        self.dependencies[name] = None
        try:
            if warning := answer():
                self.warnings.append(warning)
        except ReembedError as error:
            self.dependencies[name] = error.message


class Readiness:
    """Whether services answer, found out together and told to all who ask within a second.

    A probe answers with what is wrong although the service answers, or with None.
    """

    def __init__(self, probes: Mapping[str, tuple[Briefly, Callable[[], str | None]]]) -> None:
        self._probes = probes
        self._lock = threading.Lock()
        self._found = Found()
        self._fresh_until = -1.0

    def found(self) -> Found:
        with self._lock:  # who asks meanwhile is told the same
            if time.monotonic() >= self._fresh_until:
                answers = {n: service.begin(probe) for n, (service, probe) in self._probes.items()}
                self._found = Found()
                for name, answer in answers.items():
                    self._found.add(name, answer)
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            return self._found
