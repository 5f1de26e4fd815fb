"""Writers who write through us, from several threads, and remember what they were told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from tests.harness.writers import History, Operation, Outcome

TIMEOUT_SECONDS = 30.0
#: How long what has no answer is sent again before the writer gives up.
PATIENCE_SECONDS = 120.0


@dataclass
class Told:
    """What the requests of all threads came to."""

    #: Seconds from sending to being acknowledged, one each, with when that was.
    acknowledged: list[tuple[float, float]] = field(default_factory=list)
    #: Answers that were no acknowledgement, in words.
    refused: list[str] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Seconds, of those acknowledged."""
        seconds = sorted(one for _, one in self.acknowledged)
        return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


class CooperatingWriter:
    """Upserts and deletes by PUT and DELETE; a context manager.

    Each thread writes keys of its own, some of them again and again. What gets no answer is
    sent again with its key until it gets one, so every operation is certain in the end.
    """

    def __init__(
        self,
        url: str,
        token: str,
        bot_id: str,
        history: History,
        *,
        threads: int = 2,
        per_second: float = 20.0,
        seed: int = 0,
        deletes: float = 0.2,
    ) -> None:
        self.told = Told()
        self.history = history
        self._url, self._token, self._path = url, token, f"/bots/{bot_id}/chunks"
        self._pause, self._deletes = threads / per_second, deletes
        self._stopped = threading.Event()
        keys = sorted(history.initial)
        self._threads = [
            threading.Thread(
                target=self._run, args=(number, keys[number::threads], seed), daemon=True
            )
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Return when the last write has been acknowledged."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_SECONDS)

    def _run(self, number: int, keys: list[str], seed: int) -> None:
        chosen = random.Random(f"{seed}-{number}")
        keys = keys + [f"w{seed}-{number}-{n:03}" for n in range(20)]
        hot = chosen.sample(keys, 3)
        made, connection = 0, _connect(self._url)
        due = time.monotonic()
        while not self._stopped.is_set():
            made += 1
            key = chosen.choice(hot if chosen.random() < 0.3 else keys)
            is_delete = chosen.random() < self._deletes
            text = None if is_delete else f"write {made} of {seed}-{number}"
            operation = Operation(key, text)
            self.history.operations.append(operation)
            connection = self._perform(connection, operation)
            due += self._pause
            self._stopped.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def _perform(
        self, connection: http.client.HTTPConnection, operation: Operation
    ) -> http.client.HTTPConnection:
        """Send it until it is acknowledged; the connection to go on with."""
        body: dict[str, Any] = {"keys": [operation.key]}
        if operation.text is not None:
            fields = {"text": operation.text, "source": f"page-{operation.key}"}
            body = {"chunks": [{"key": operation.key, "fields": fields}]}
        method, once = "DELETE" if operation.text is None else "PUT", uuid4().hex
        begun = time.monotonic()
        while True:
            try:
                status, said = self._send(connection, method, body, once)
            except (OSError, http.client.HTTPException) as error:
                status, said = 0, f"{type(error).__name__}: {error}"
                connection.close()
                connection = _connect(self._url)
            if status in (200, 202):
                now = time.monotonic()
                self.told.acknowledged.append((now, now - begun))
                operation.outcome = Outcome.OK
                return connection
            self.told.refused.append(f"{status}: {said}")
            if time.monotonic() - begun > PATIENCE_SECONDS:
                operation.outcome = Outcome.UNKNOWN
                return connection
            time.sleep(0.1)

    def _send(
        self, connection: http.client.HTTPConnection, method: str, body: Any, once: str
    ) -> tuple[int, str]:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Idempotency-Key": once,
        }
        connection.request(method, self._path, json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()


def _connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
