"""A child process that is started, watched and stopped by us, and by nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import psutil

LAUNCHER = Path(__file__).with_name("launcher.py")
#: A stop signal and how many seconds it is given before the next one.
StopStep = tuple[signal.Signals, float]
POLITE: tuple[StopStep, ...] = ((signal.SIGTERM, 15),)


class ChildDied(RuntimeError):
    """A process ended that should run; the end of its log says why."""


class Child:
    """One process in a session of its own, its output in one log file.

    The session keeps a Ctrl-C at the terminal away from it, so that we decide
    the order in which things stop. It receives ``death_signal`` when the thread
    that started it ends, so start it from the main thread.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        *,
        death_signal: signal.Signals = signal.SIGTERM,
        stop_steps: Sequence[StopStep] = POLITE,
        uid: int | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._death_signal = death_signal
        self._stop_steps = stop_steps
        self._uid = uid
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_requested = False

    def start(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        *,
        folder: Path | None = None,
    ) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._stop_requested = False
        with self._open_log() as output:
            self._process = subprocess.Popen(
                [*self._launched(), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )

    def _open_log(self) -> BinaryIO:
        """For ourselves alone: what a process says may quote whatever it was given."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)  # also one that was there before this was so
        return os.fdopen(descriptor, "ab")

    def _launched(self) -> list[str]:
        user = "-" if self._uid is None else str(self._uid)
        parent, death_signal = str(os.getpid()), str(int(self._death_signal))
        return [sys.executable, "-I", "-S", str(LAUNCHER), parent, death_signal, user]

    @property
    def pid(self) -> int | None:
        """The process while it runs, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def started(self) -> bool:
        """Whether it was started and not stopped by us since."""
        return self._process is not None

    def check(self) -> None:
        """Raise ChildDied, with the end of the log, unless the process runs."""
        if self.pid is None:
            raise ChildDied(f"{self.name} has ended.\n{self.log_end()}")

    def log_end(self, lines: int = 15) -> str:
        if not self.log.exists():
            return f"There is no {self.log}."
        last = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"The end of {self.log}:", *last])

    def signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    def request_stop(self) -> None:
        """Send the first stop signal, once, and return.

        Redis and Milvus Lite take a second one as leave to drop everything.
        """
        if self._stop_steps and not self._stop_requested:
            self._stop_requested = True
            self.signal(self._stop_steps[0][0])

    def stop(self) -> None:
        """Stop it, more firmly step by step; returns when nothing of it is left."""
        self.request_stop()
        for step, (number, seconds) in enumerate(self._stop_steps):
            if step > 0:
                self.signal(number)
            if self._ended_within(seconds):
                break
        self.kill()

    def kill(self) -> None:
        """SIGKILL the process and whatever else is in its session's group."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._wait_for_the_group(self._process.pid)
        self._process = None

    def wait(self) -> int:
        """Wait until it ends by itself; its exit code."""
        if self._process is None:
            raise ChildDied(f"{self.name} was never started.")
        return self._process.wait()

    @staticmethod
    def _wait_for_the_group(group: int, seconds: float = 5) -> None:
        # Orphans of the group are reaped by init, which may take a moment.
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.killpg(group, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.02)

    def _ended_within(self, seconds: float) -> bool:
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def ended_within(pid: int, seconds: float) -> bool:
    """Wait for a process, whether our child or not; a zombie without threads has ended."""
    deadline = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.is_running() and not _is_over(process):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
    return True


def _is_over(process: psutil.Process) -> bool:
    # Its first thread may be gone before the others are; nobody can collect it until then.
    return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)


def note_pid(file: Path, pid: int | None) -> None:
    """Write down which process this is, so that a later run can tell it from a namesake."""
    if pid is not None:
        with suppress(psutil.NoSuchProcess):
            file.write_text(f"{pid} {psutil.Process(pid).create_time()}")


def end_leftover(file: Path, patience_seconds: float = 10) -> None:
    """End the process of :func:`note_pid` if a killed run has left it behind.

    It was told to stop when its parent died, so it is waited for before it is
    told again, and again before it is killed.
    """
    if not file.exists():
        return
    pid, created = file.read_text().split()
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(pid))
        # Ids are used again; a process of another age is somebody else's.
        if process.create_time() == float(created):
            _end(process, patience_seconds)
    file.unlink()


def _end(process: psutil.Process, patience_seconds: float) -> None:
    for insist in (process.terminate, process.kill):
        with suppress(psutil.TimeoutExpired):
            process.wait(patience_seconds)
            return
        insist()
    process.wait(5)
