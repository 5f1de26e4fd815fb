"""Runs the processes of a Procfile, each in one :class:`devstack.child.Child`.

honcho reads the Procfile; its manager is not used, because what it started
would outlive a SIGKILL of ours, and because tests need the processes one by
one. ``honcho start`` runs the same file against a user's own servers.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from honcho.environ import parse_procfile

from devstack.child import Child
from devstack.server import LOOPBACK, PROJECT

#: Celery's words, and the API's: SIGTERM lets work in hand finish, SIGQUIT drops it.
STOP_STEPS = ((signal.SIGTERM, 10.0), (signal.SIGQUIT, 5.0))


class Processes:
    """The Procfile's processes under one environment; a context manager.

    ``environment`` is complete: nothing is inherited, so build it from
    :func:`inherited_environment` and the stack's own. Start from the main
    thread. Each process writes to ``logs/<name>.log``.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        logs: Path,
        procfile: Path = PROJECT / "Procfile",
    ) -> None:
        self.environment = dict(environment)
        self._commands: dict[str, str] = dict(parse_procfile(procfile.read_text()).processes)
        self._folder = procfile.parent
        self._children = {
            name: Child(name, logs / f"{name}.log", stop_steps=STOP_STEPS)
            for name in self._commands
        }

    @property
    def names(self) -> list[str]:
        return list(self._commands)

    @property
    def url(self) -> str:
        """Where the API answers."""
        host = self.environment.get("REEMBED_HOST", LOOPBACK)
        return f"http://{host}:{self.environment.get('REEMBED_PORT', '8000')}"

    def log(self, name: str) -> Path:
        return self._children[name].log

    def pid(self, name: str) -> int | None:
        return self._children[name].pid

    def start(self, only: Iterable[str] | None = None) -> None:
        """Start the named processes, by default all; those that run are left alone."""
        for name in self.names if only is None else only:
            if self.pid(name) is None:
                # exec: the process itself, not a shell, is who we signal.
                shell = ["/bin/sh", "-c", f"exec {self._commands[name]}"]
                self._children[name].start(shell, self.environment, folder=self._folder)

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until the API's /readyz answers 200.

        Raises:
            ChildDied: a process ended meanwhile, with the end of its log.
            TimeoutError: none did, and yet it is not ready.
        """
        deadline = time.monotonic() + seconds
        while not _answers_ok(f"{self.url}/readyz"):
            self.check()
            if time.monotonic() > deadline:
                ends = "\n".join(child.log_end() for child in self._children.values())
                raise TimeoutError(f"{self.url}/readyz does not answer 200.\n{ends}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise ChildDied if a process that was started has ended by itself."""
        for child in self._children.values():
            if child.started:
                child.check()

    def kill(self, name: str) -> None:
        """SIGKILL one process and its own children, as a crash of the machine would."""
        self._children[name].kill()

    def stop(self, only: Iterable[str] | None = None) -> None:
        """Stop them, all at once; returns when nothing of them is left."""
        children = [self._children[name] for name in (self.names if only is None else only)]
        for child in children:
            child.request_stop()
        for child in children:
            child.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def inherited_environment() -> dict[str, str]:
    """Ours without settings of reembed, and with this Python's programs found first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REEMBED_")}
    programs = str(Path(sys.executable).parent)
    return kept | {"PATH": f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}"}


def _answers_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own http URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
