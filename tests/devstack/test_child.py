"""A child process: stopped for certain, and never mistaken for another."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack.child import Child, ChildDied, end_leftover, ended_within, note_pid

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def test_a_child_that_ignores_a_stop_is_killed_with_its_own_children(tmp_path: Path) -> None:
    child = Child("stubborn", tmp_path / "log", stop_steps=((signal.SIGTERM, 0.3),))
    child.start([sys.executable, "-c", STUBBORN])
    wait_for("ready", tmp_path / "log")
    assert child.pid is not None
    process = psutil.Process(child.pid)
    family = [process, *process.children()]
    child.stop()
    assert (2, []) == (len(family), [p for p in family if p.is_running()])
    assert child.pid is None


def test_a_child_is_told_to_stop_only_once(tmp_path: Path) -> None:
    script = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('told', flush=True))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.05)\n"
    )
    child = Child("counter", tmp_path / "log", stop_steps=((signal.SIGTERM, 0.5),))
    child.start([sys.executable, "-c", script])
    wait_for("ready", tmp_path / "log")
    child.request_stop()
    wait_for("told", tmp_path / "log")
    child.stop()
    assert 1 == (tmp_path / "log").read_text().count("told")


def test_a_child_that_ended_by_itself_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = Child("brief", tmp_path / "log")
    child.start([sys.executable, "-c", "raise SystemExit('no disk left')"])
    assert 1 == child.wait()
    with pytest.raises(ChildDied, match="no disk left"):
        child.check()


def test_a_leftover_of_a_killed_run_is_ended(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    leftover = psutil.Process(sleeper.pid)
    note_pid(tmp_path / "pid", leftover.pid)
    end_leftover(tmp_path / "pid", patience_seconds=0.1)
    assert (False, False) == (leftover.is_running(), (tmp_path / "pid").exists())


def test_a_process_that_only_has_the_same_id_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "pid").write_text(f"{sleeper.pid} 1.0")
    end_leftover(tmp_path / "pid", patience_seconds=0.1)
    assert sleeper.poll() is None


#: Its first thread goes, and another one works on for half a second.
HEADLESS = """
import ctypes, os, threading, time
def work():
    time.sleep(0.5)
    os._exit(0)
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_whose_first_thread_is_gone_has_not_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", HEADLESS]) as process:
        assert ended_within(process.pid, 20)
        assert process.poll() is not None
