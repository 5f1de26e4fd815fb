"""A bot and its runs, over HTTP, as any user of the API sees them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devstack.client import Answer, ApiClient
from migrations.model.config import EmbeddingRef
from tests.harness.writers import History

#: A run of a few hundred chunks takes seconds; this long means that it hangs.
PATIENCE_SECONDS = 60.0


def expect(status: int, answer: Answer) -> Any:
    """The body of an answer with this status."""
    assert status == answer.status, f"HTTP {answer.status} instead of {status}: {answer.body}"
    return answer.body


@dataclass(frozen=True)
class Run:
    """One migration."""

    api: ApiClient
    id: str

    def progress(self) -> dict[str, Any]:
        return dict(expect(200, self.api.get(f"/embeddings/migration/{self.id}/progress")))

    def wait_for(
        self, holds: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Watch until the progress is as wanted. Raises TimeoutError with the last one seen."""
        deadline = time.monotonic() + seconds
        while not holds(seen := self.progress()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {seconds} s: {seen}")
            time.sleep(0.1)  # each look is a request that the API has to work for
        return seen

    def wait_finished(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        return self.wait_for(lambda seen: bool(seen["finished"]), seconds)

    def ends(self, status: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The last progress, which must say this."""
        seen = self.wait_finished(seconds)
        assert status == seen["status"], seen
        return seen

    def ask_rollback(self, **wish: Any) -> Answer:
        return self.api.post(f"/embeddings/migration/{self.id}/rollback", wish or None)

    def roll_back(self, **wish: Any) -> Run:
        """The run that acts: this one before the switch, a reverse run after it."""
        answer = expect(202, self.ask_rollback(**wish))
        return Run(self.api, answer["migration"]["migration_id"])


@dataclass(frozen=True)
class BotHandle:
    """A registered bot; ``history`` is what its collection must hold."""

    api: ApiClient
    bot_id: str
    alias: str
    #: The collection it was registered with and the model that made its vectors.
    collection: str
    embedding: EmbeddingRef
    history: History

    def row(self) -> dict[str, Any]:
        return dict(expect(200, self.api.get(f"/bots/{self.bot_id}")))

    def pair(self) -> tuple[str, EmbeddingRef]:
        """What is live now: where to search and write, and with which model."""
        row = self.row()
        return row["collection"], EmbeddingRef(**row["embedding"])

    def where(self, action: str) -> str:
        return f"/bots/{self.bot_id}/embeddings/{action}"

    def status(self) -> dict[str, Any]:
        return dict(expect(200, self.api.get(self.where("migration-status"))))

    def ask_start(self, target: EmbeddingRef, *, key: str | None = None, **wish: Any) -> Answer:
        body = {**target.canonical, **wish}
        headers = {} if key is None else {"idempotency_key": key}
        return self.api.post(self.where("start-migration"), body, **headers)

    def start(self, target: EmbeddingRef, **wish: Any) -> Run:
        started = expect(202, self.ask_start(target, **wish))
        return Run(self.api, started["migration"]["migration_id"])

    def migrate(self, target: EmbeddingRef, **wish: Any) -> Run:
        """Start, and watch it to its good end."""
        run = self.start(target, **wish)
        run.ends("completed")
        return run

    def ask_cancel(self) -> Answer:
        return self.api.post(self.where("cancel-migration"))
