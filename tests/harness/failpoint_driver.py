"""Decides what happens at the named points of the workers (migrations.process.failpoints).

    with FailpointDriver() as driver:          # REEMBED_FAILPOINTS=driver.url
        driver.on("verification.before_run", "raise", migration_id=run.id)
        with driver.paused("finalization.before_switch") as held:
            held.wait()
            ...

Every point reached is remembered, whatever was done there.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

#: What ``migrations.process.failpoints`` knows. ``drop_reply``: it was done, its answer is lost.
ACTIONS = frozenset({"go", "raise", "outage", "drop_reply", "kill", "stop"})
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Hit:
    """A worker has reached a point."""

    name: str
    pid: int
    facts: Mapping[str, Any]
    action: str
    at: float = field(default_factory=time.monotonic)


@dataclass
class Rule:
    """What to do at a point, for the hits after the first ``skip``, ``times`` times."""

    name: str
    action: str
    facts: Mapping[str, str]
    sleep_seconds: float = 0.0
    times: int | None = 1
    skip: int = 0
    #: The worker stands at the point until this is set.
    gate: threading.Event | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"no such action: {self.action}; there are {sorted(ACTIONS)}")

    def takes(self, name: str, facts: Mapping[str, Any]) -> bool:
        """Whether this hit is the rule's; counts it either way."""
        concerned = self.name == name and all(
            str(facts.get(key)) == value for key, value in self.facts.items()
        )
        if not concerned or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Held:
    """A point at which workers stand until they are released."""

    def __init__(self, driver: FailpointDriver, name: str, facts: Mapping[str, str]) -> None:
        self._driver = driver
        self._name = name
        self._facts = facts
        self._since = len(driver.hits)
        self.gate = threading.Event()

    def wait(self, seconds: float = PATIENCE_SECONDS, *, times: int = 1) -> Hit:
        """Return once so many threads of workers stand there."""
        facts: dict[str, Any] = {**self._facts}
        return self._driver.wait_for(
            self._name, times=times, since=self._since, seconds=seconds, **facts
        )

    def release(self) -> None:
        self.gate.set()


class FailpointDriver:
    """An HTTP server on the loopback; without rules every point is passed."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self._rules: list[Rule] = []
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.driver = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.clear()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # --- what shall happen ----------------------------------------------------

    def on(
        self,
        name: str,
        action: str,
        *,
        times: int | None = 1,
        skip: int = 0,
        sleep_seconds: float = 0.0,
        **facts: object,
    ) -> Rule:
        """Act at this point, only where ``facts`` are as given; the oldest rule wins."""
        return self._add(Rule(name, action, _texts(facts), sleep_seconds, times, skip))

    @contextmanager
    def paused(self, name: str, *, skip: int = 0, **facts: object) -> Iterator[Held]:
        """Hold every worker that reaches the point; leaving the block lets them go."""
        held = Held(self, name, _texts(facts))
        rule = self._add(Rule(name, "go", _texts(facts), times=None, skip=skip, gate=held.gate))
        try:
            yield held
        finally:
            self._remove(rule)
            held.release()

    def clear(self) -> None:
        """Forget all rules and hits and let everybody go."""
        with self._changed:
            for rule in self._rules:
                if rule.gate is not None:
                    rule.gate.set()
            self._rules.clear()
            self.hits.clear()

    def _add(self, rule: Rule) -> Rule:
        with self._changed:
            self._rules.append(rule)
        return rule

    def _remove(self, rule: Rule) -> None:
        with self._changed:
            self._rules = [other for other in self._rules if other is not rule]

    # --- what has happened ------------------------------------------------------

    def reached(self, name: str, *, since: int = 0, **facts: object) -> list[Hit]:
        """The hits of a point, oldest first, of those after the first ``since`` of all."""
        wanted = _texts(facts)
        with self._changed:
            hits = self.hits[since:]
        return [
            hit
            for hit in hits
            if hit.name == name
            and all(str(hit.facts.get(key)) == value for key, value in wanted.items())
        ]

    def wait_for(
        self,
        name: str,
        *,
        times: int = 1,
        since: int = 0,
        seconds: float = PATIENCE_SECONDS,
        **facts: object,
    ) -> Hit:
        """The hit that makes it ``times`` times. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while len(found := self.reached(name, since=since, **facts)) < times:
            with self._changed:
                if not self._changed.wait(deadline - time.monotonic()):
                    seen = [hit.name for hit in self.hits[-10:]]
                    raise TimeoutError(
                        f"{name} was reached {len(found)} times of {times} in {seconds} s;"
                        f" last: {seen}"
                    )
        return found[times - 1]

    def decide(self, name: str, pid: int, facts: dict[str, Any]) -> dict[str, Any]:
        """Answer one worker; returns when it may go on."""
        with self._changed:
            rule = next((rule for rule in self._rules if rule.takes(name, facts)), None)
            action = rule.action if rule else "go"
            self.hits.append(Hit(name, pid, facts, action))
            self._changed.notify_all()
        if rule is not None and rule.gate is not None:
            rule.gate.wait()
        return {"action": action, "sleep_seconds": rule.sleep_seconds if rule else 0.0}


def _texts(facts: Mapping[str, object]) -> dict[str, str]:
    """Facts arrive as JSON: an id as its text, a number as a number."""
    return {key: str(value) for key, value in facts.items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    driver: FailpointDriver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that was killed at a point does not take its answer."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        facts = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = self.server.driver.decide(facts.pop("name"), facts.pop("pid"), facts)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class's name
        """The driver's own record says more."""
