"""slow_clients: how soon the API answers beside clients that send half a request, and a provider
that hangs.

For a while 64 connections have sent half a header each, opened again as soon as they are ended,
and twenty owners wait for a validation, each asking again when it is answered or refused. The
worst answer of progress and of ``/healthz`` is looked at, against what served the API before:
gunicorn, two processes of eight threads, where every request may take a thread.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from benchmarks.figures import Figure, figure, percentile
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Run
from benchmarks.site import Site
from devstack.child import Child
from devstack.server import LOOPBACK, free_port, listens

_HALVES, _VALIDATIONS = 64, 20
_HALF = b"GET /healthz HTTP/1.1\r\nHost: api\r\nX-Slow: "
#: Longer than an errand waits, so that the provider never answers a validation.
_HANGS_SECONDS = 90.0
_PAUSE_SECONDS = 0.05
#: Whoever is not answered within this is counted with it, and asks again.
_LONGEST_SECONDS = 10.0
_STARTING_SECONDS = 60.0

#: As many as there are; the second is more than anybody asks for at once.
_AS_BEFORE = {
    "REEMBED_API_THREADS": "1000",
    "REEMBED_API_SLOW_REQUESTS": "999",
    "REEMBED_API_SLOW_REQUESTS_PER_OWNER": "999",
}

#: Milliseconds of each answer, by what was asked.
Answers = dict[str, list[float]]


@dataclass(frozen=True)
class _Api:
    """Where one of the two servers answers, and what is asked there."""

    port: int
    token: str
    bot: Bot
    run: Run

    def ask(
        self, path: str, body: dict[str, object] | None = None, token: str | None = None
    ) -> None:
        """Ask and read the answer, whatever it is. Raises OSError when there is none in time."""
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.port}{path}", sent
        )  # our own http URL
        request.add_header("Authorization", f"Bearer {token or self.token}")
        request.add_header("Content-Type", "application/json")
        patience = _LONGEST_SECONDS if body is None else 2 * _HANGS_SECONDS
        with (
            suppress(urllib.error.HTTPError),
            urllib.request.urlopen(request, timeout=patience) as answer,  # noqa: S310 # as above
        ):
            answer.read()

    def half_request(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with suppress(OSError), socket.create_connection((LOOPBACK, self.port)) as half:
                half.sendall(_HALF)
                half.settimeout(0.5)
                while not stop.is_set() and _is_open(half):
                    pass

    def validate(self, stop: threading.Event, token: str) -> None:
        wish: dict[str, object] = {"provider": "openai", "model": "text-embedding-3-large"}
        path = f"/bots/{self.bot.bot_id}/embeddings/validate-change"
        while not stop.wait(_PAUSE_SECONDS):
            with suppress(OSError):
                self.ask(path, {**wish, "dimension": self.bot.source.dimension}, token)


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True


def slow_clients(lab: Lab) -> list[Figure]:
    site = lab.site()
    site.renew()
    bot = site.bot(site.source(lab.scale.batch_size, lab.scale.small_from))
    run = bot.start(lab.scale.small_to, lab.scale.batch_size)
    run.completed()
    seconds = lab.scale.slow_clients_seconds
    ours = _beside_them(site, _Api(site.port, site.token, bot, run), seconds)
    with _as_before(site) as port:
        before = _beside_them(site, _Api(port, site.token, bot, run), seconds)
    return [
        figure(name, [percentile(ours[what], percent)], "ms", [percentile(before[what], percent)])
        for what in ("progress", "healthz")
        for percent, name in (
            (100, "slow_clients" if what == "progress" else f"slow_clients.{what}_worst"),
            (50, f"slow_clients.{what}_p50"),
        )
    ]


@contextmanager
def _as_before(site: Site) -> Iterator[int]:
    port = free_port()
    server = Child("gunicorn", site.folder / "logs" / "gunicorn.log")
    threads = ["--workers", "2", "--threads", "8", "--no-control-socket"]
    command = ["gunicorn", "api:create_app()", "--bind", f"{LOOPBACK}:{port}", *threads]
    try:
        server.start(["/usr/bin/env", *command], site.environment() | _AS_BEFORE)
        deadline = time.monotonic() + _STARTING_SECONDS
        while not listens(port) and time.monotonic() < deadline:
            server.check()
            time.sleep(0.2)
        yield port
    finally:
        server.stop()


def _beside_them(site: Site, api: _Api, seconds: float) -> Answers:
    """Each question again and again, while the others are there."""
    site.provider.control(misbehave={"kind": "hang", "seconds": _HANGS_SECONDS})
    stop = threading.Event()
    others = [threading.Thread(target=api.half_request, args=(stop,)) for _ in range(_HALVES)]
    tokens = [site.token_of(f"owner-{number}") for number in range(_VALIDATIONS)]
    others += [threading.Thread(target=api.validate, args=(stop, token)) for token in tokens]
    answers: Answers = {"progress": [], "healthz": []}
    paths = {"progress": f"/embeddings/migration/{api.run.id}/progress", "healthz": "/healthz"}
    try:
        for other in others:
            other.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for what, path in paths.items():
                answers[what].append(_timed(api, path))
            time.sleep(_PAUSE_SECONDS)
    finally:
        stop.set()
        site.provider.reset()
        for other in others:
            other.join()
    return answers


def _timed(api: _Api, path: str) -> float:
    began = time.perf_counter()
    with suppress(OSError):
        api.ask(path)
    return 1000 * (time.perf_counter() - began)
