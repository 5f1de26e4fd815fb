"""Bots and migrations, over HTTP, and the times the system itself gives them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.source import TO_MODEL, Source
from devstack.client import ApiClient

Progress = dict[str, Any]
#: Two weeks: whatever ends a benchmark's migration, it is not its own timeout.
_NO_TIMEOUT_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True)
class Run:
    """One migration; ``asked_at`` is when the request to start it was sent."""

    api: ApiClient
    id: str
    asked_at: datetime

    def progress(self) -> Progress:
        answer = self.api.get(f"/embeddings/migration/{self.id}/progress")
        assert answer.status == 200, answer.body
        return dict(answer.body)

    def watch(self, every_seconds: float, longest_seconds: float = 3600.0) -> Iterator[Progress]:
        """What is seen, until it is finished. Raises TimeoutError."""
        deadline = time.monotonic() + longest_seconds
        while True:
            seen = self.progress()
            yield seen
            if seen["finished"]:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"not finished after {longest_seconds} s: {seen}")
            time.sleep(every_seconds)

    def completed(self, every_seconds: float = 0.5) -> Progress:
        """The last progress. Raises AssertionError when it did not complete."""
        *_, last = self.watch(every_seconds)
        assert last["status"] == "completed", last
        return last

    def wait_for(self, holds: Callable[[Progress], bool], every_seconds: float = 0.05) -> Progress:
        """The first progress that is as wanted. Raises AssertionError when none was."""
        for seen in self.watch(every_seconds):
            if holds(seen):
                return seen
        raise AssertionError(f"it ended before: {seen}")

    def report(self) -> dict[str, Any]:
        answer = self.api.get(f"/embeddings/migration/{self.id}/report")
        assert answer.status == 200, answer.body
        return dict(answer.body)

    def steer(self, what: str, **wish: Any) -> None:
        answer = self.api.post(f"/embeddings/migration/{self.id}/{what}", wish or None)
        assert answer.status == 202, answer.body

    def free(self) -> None:
        """Take a pace away."""
        answer = self.api.delete(f"/embeddings/migration/{self.id}/throttle")
        assert answer.status == 202, answer.body

    def roll_back(self, mode: str = "complete") -> Run:
        """The reverse run, after the switch."""
        asked_at = datetime.now(UTC)
        answer = self.api.post(f"/embeddings/migration/{self.id}/rollback", {"mode": mode})
        assert answer.status == 202, answer.body
        return Run(self.api, answer.body["migration"]["migration_id"], asked_at)


@dataclass(frozen=True)
class Bot:
    """A registered bot on a source."""

    api: ApiClient
    bot_id: str
    alias: str
    source: Source

    def _at(self, action: str) -> str:
        return f"/bots/{self.bot_id}/embeddings/{action}"

    def start(self, dimension: int, batch_size: int, **wishes: Any) -> Run:
        wish = {
            "provider": "openai",
            "model": TO_MODEL,
            "dimension": dimension,
            "batch_size": batch_size,
            "timeout_seconds": _NO_TIMEOUT_SECONDS,
            **wishes,
        }
        asked_at = datetime.now(UTC)
        answer = self.api.post(self._at("start-migration"), wish)
        assert answer.status == 202, answer.body
        return Run(self.api, answer.body["migration"]["migration_id"], asked_at)

    def status(self) -> Progress:
        answer = self.api.get(self._at("migration-status"))
        assert answer.status == 200, answer.body
        return dict(answer.body)

    def live_collection(self) -> str:
        answer = self.api.get(f"/bots/{self.bot_id}")
        assert answer.status == 200, answer.body
        return str(answer.body["collection"])

    def cancel(self, run: Run) -> None:
        """End a migration that has shown enough, and wait until it is undone."""
        self.api.post(self._at("cancel-migration"))
        *_, last = run.watch(0.1, 300)
        assert last["status"] in {"rolled_back", "completed"}, last


def phase_seconds(progress: Progress, phase: str) -> float:
    """From a phase's own beginning to its end."""
    times = next(item for item in progress["phases"] if item["phase"] == phase)
    return seconds_between(times["started_at"], times["finished_at"])


def seconds_between(earlier: str | datetime, later: str | datetime) -> float:
    return (_time(later) - _time(earlier)).total_seconds()


def _time(given: str | datetime) -> datetime:
    return datetime.fromisoformat(given) if isinstance(given, str) else given
