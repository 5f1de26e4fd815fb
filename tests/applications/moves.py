"""All applications of an engine, moved several at a time: most of a run is waiting."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.applications import moving, table
from tests.applications.moving import Answer, Could, Moved, Refused
from tests.applications.verdicts import APPLICATIONS, CannotBe, IsRefused, Migrates
from tests.harness.world import World

#: Set by `make applications`.
MOVE_ALL = "APPLICATIONS" in os.environ


def names_on(engine: str) -> list[str]:
    """Of the applications whose collections the engine can have."""
    return [
        name for name, entry in APPLICATIONS.items() if not isinstance(entry.on[engine], CannotBe)
    ]


@dataclass(frozen=True)
class Outcome:
    """Registered with provider and model alone, and then, where that is not enough, with more."""

    as_it_comes: Answer
    when_stated: Answer | None = None


@dataclass
class Moves:
    """A context manager, which begins with all that the collected tests are about."""

    world: World
    engine: str
    items: Sequence[Any]
    at_once: int
    _outcomes: dict[str, Future[Outcome]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self.at_once)
        calls = (item.callspec for item in self.items if hasattr(item, "callspec"))
        wanted = {call.params.get("name") for call in calls}
        for name in names_on(self.engine):
            if name in wanted:
                self._outcomes[name] = self._threads.submit(self._outcome, name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        table.write(self.engine, {n: _ended(future) for n, future in self._outcomes.items()})

    def assert_as_expected(self, name: str) -> None:
        """Wait for an application's outcome, and look at it."""
        outcome = self._outcomes[name].result()
        entry = APPLICATIONS[name]
        match entry.on[self.engine]:
            case Migrates(stated, asks) if stated:
                assert isinstance(outcome.as_it_comes, Refused), outcome
                assert asks in outcome.as_it_comes.because
                _assert_taken(outcome.when_stated, entry.text)
            case Migrates():
                _assert_taken(outcome.as_it_comes, entry.text)
            case IsRefused(words):
                assert isinstance(outcome.as_it_comes, Refused), outcome
                assert words in outcome.as_it_comes.because

    def _outcome(self, name: str) -> Outcome:
        entry = APPLICATIONS[name]
        expected = entry.on[self.engine]
        stated = expected.stated if isinstance(expected, Migrates) else {}
        is_moved = MOVE_ALL or not isinstance(expected, Migrates) or expected.always
        act = moving.move if is_moved else moving.look
        filled = moving.fill(self.world, entry.application)
        first = act(self.world, entry.application, filled)
        if not stated or not isinstance(first, Refused):
            return Outcome(first)
        return Outcome(first, act(self.world, entry.application, filled, **stated))


def _assert_taken(answer: Answer | None, text: Mapping[str, str] | None) -> None:
    assert isinstance(answer, Moved | Could), answer
    assert text is not None
    assert text.items() <= answer.text.items()


#: On an engine at this address, so many at once.
MovesOn = Callable[[str, str, int], AbstractContextManager[Moves]]


def _ended(future: Future[Outcome]) -> Outcome | None:
    is_over = future.done() and not future.cancelled() and future.exception() is None
    return future.result() if is_over else None
