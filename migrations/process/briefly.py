"""Asking a service that may hang, for somebody who does not wait long for its answer.

A call ends by its own timeout, which is made for work that waits: half a minute. Whoever only
looks would hold a thread for as long, and many who look would hold all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from migrations.model.errors import NoAnswer

PATIENCE_SECONDS = 1.0

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
