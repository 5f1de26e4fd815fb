"""What the embedded servers have in common."""

from __future__ import annotations

import os
import socket
import time
from abc import ABC, abstractmethod
from pathlib import Path

from devstack.child import Child, ChildDied, end_leftover, note_pid

LOOPBACK = "127.0.0.1"
PROJECT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def write_secret(file: Path, text: str) -> None:
    """Into a new file that nobody else may read, not for a moment."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as secret:
        secret.write(text)


class Server(ABC):
    """A server on a free loopback port with all its data in one folder.

    The port is chosen at the first start and kept by this object, so that a
    server that is stopped and started again is found under the same URL.
    """

    name: str
    startup_seconds: float = 60

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self.port = 0
        self._child = self._new_child(self.data.parent / "logs" / f"{self.name}.log")

    def _new_child(self, log: Path) -> Child:
        return Child(self.name, log)

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client connects to, credentials included."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether it answers a request right now; never raises."""

    @abstractmethod
    def _command(self) -> list[str | Path]: ...

    def _prepare(self) -> None:
        """Make the data folder ready for a start, whatever the last run left there."""
        self.data.mkdir(parents=True, exist_ok=True)
        end_leftover(self._pid_file)

    @property
    def _pid_file(self) -> Path:
        return self.data.with_name(f"{self.data.name}.pid")

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ChildDied: it ended while starting, more than once.
            TimeoutError: it did not answer within ``startup_seconds``.
        """
        self.launch()
        self.wait_healthy()

    def launch(self) -> None:
        """Start it without waiting, so that several can start side by side."""
        if self.pid is None:
            self._prepare()
            self.port = self.port or free_port()
            self._child.start(self._command(), folder=PROJECT)
            note_pid(self._pid_file, self._child.pid)

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + self.startup_seconds
        restarts = 2  # a port taken between choosing and binding, or a lock not yet let go
        while not self.healthy():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not answer.\n{self._child.log_end()}")
            if self.pid is None and restarts:
                restarts -= 1
                self._start_over()
            self._child.check()
            time.sleep(0.05)

    def _start_over(self) -> None:
        time.sleep(0.5)
        if listens(self.port):
            self.port = free_port()
        self.launch()

    def check(self) -> None:
        """Raise ChildDied unless it runs."""
        self._child.check()

    def request_stop(self) -> None:
        self._child.request_stop()

    def stop(self) -> None:
        """Stop it cleanly; returns when no process of it is left. Harmless when stopped."""
        self._child.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._child.kill()


__all__ = ["LOOPBACK", "ChildDied", "Server", "free_port", "listens"]
