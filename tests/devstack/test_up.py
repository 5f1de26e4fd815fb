"""``python -m devstack up``: everything starts, and nothing is left however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from devstack.stack import PROJECT

# Stands in for the API: what matters here is that it answers, runs and ends.
API = """
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["REEMBED_PORT"])), Ready).serve_forever()
"""
PROCFILE = "api: python api.py\nticker: python -u -c 'import time; time.sleep(3); {then}'\n"


@dataclass
class Up:
    folder: Path
    process: subprocess.Popen[str]

    def devstack(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "devstack", command, "--data", self.folder / "data"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )

    def left(self) -> list[str]:
        """The processes that still run in or on this folder."""
        return [
            process.info["name"]
            for process in psutil.process_iter(["name", "cwd", "cmdline"])
            if process.pid != self.process.pid and self._is_ours(process)
        ]

    def _is_ours(self, process: psutil.Process) -> bool:
        # Read once for both: a process may end between two looks at it.
        place = [process.info["cwd"] or "", *(process.info["cmdline"] or ())]
        return any(str(self.folder) in part for part in place)

    def wait_until_up(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if "Ctrl-C stops everything" in line:
                return
        raise AssertionError("it ended before it was up")


def told_by(up: Up, variable: str) -> str:
    """What a shell knows that has read the environment file."""
    script = f'. "{up.folder}/data/env"; printf %s "{variable}"'
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: what a test finds there is what the one before has left."""
    return tmp_path_factory.mktemp("up")


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[[str], Up]]:
    started: list[Up] = []

    def begin(then: str = "time.sleep(600)") -> Up:
        (folder / "api.py").write_text(API)
        (folder / "Procfile").write_text(PROCFILE.format(then=then))
        where = ["--data", folder / "data", "--procfile", folder / "Procfile"]
        process = subprocess.Popen(
            [sys.executable, "-m", "devstack", "up", *where],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(Up(folder, process))
        return started[-1]

    yield begin
    for up in started:
        up.process.kill()
        up.process.communicate()


def test_ctrl_c_stops_everything(start: Callable[[], Up]) -> None:
    up = start()
    up.wait_until_up()
    names = up.left()
    assert {"redis-server", "postgres"} <= set(names)
    assert 4 < len(names)
    os.kill(up.process.pid, signal.SIGINT)
    assert 0 == up.process.wait(40)
    assert [] == up.left()


def test_sigkill_leaves_nothing_and_the_data_serves_again_until_it_is_taken_down(
    start: Callable[[], Up],
) -> None:
    up = start()
    up.wait_until_up()
    token = (up.folder / "data" / "admin.token").read_text()
    milvus = told_by(up, "$REEMBED_MILVUS_URI")
    assert token == told_by(up, "$REEMBED_TOKEN")
    up.process.kill()
    deadline = time.monotonic() + 15
    while up.left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [] == up.left()

    up = start()
    up.wait_until_up()
    assert token == (up.folder / "data" / "admin.token").read_text()
    assert f"Admin token  {token}" in up.devstack("status").stdout
    assert milvus == told_by(up, "$REEMBED_MILVUS_URI")
    assert "Stopped." in up.devstack("down").stdout
    assert 0 == up.process.wait(1)
    assert [] == up.left()
    assert "Nothing is running." in up.devstack("status").stdout
    assert not (up.folder / "data" / "env").exists()


def test_the_end_of_one_process_ends_all_and_is_explained(start: Callable[[str], Up]) -> None:
    up = start('raise SystemExit("out of luck")')
    output, _ = up.process.communicate(timeout=60)
    assert 1 == up.process.returncode
    assert "ticker has ended" in output
    assert "out of luck" in output
    assert [] == up.left()


def test_clean_stops_even_what_is_only_starting_and_removes_the_data(
    start: Callable[[], Up],
) -> None:
    up = start()
    deadline = time.monotonic() + 30
    while "redis-server" not in up.left():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "starting" in up.devstack("status").stdout
    assert 0 == up.devstack("clean").returncode
    assert (False, []) == ((up.folder / "data").exists(), up.left())


_SECRETS = ("admin.token", "postgres/password", "page.key", "flower.password")


def test_no_file_that_others_may_read_holds_a_secret(start: Callable[[str], Up]) -> None:
    up = start("time.sleep(600)")
    up.wait_until_up()
    data = up.folder / "data"
    secrets = [(data / name).read_bytes() for name in _SECRETS]
    assert secrets[0] in (data / "urls").read_bytes()
    assert secrets[0] in (data / "env").read_bytes()
    found = [
        str(file.relative_to(data))
        for file in data.rglob("*")
        if file.is_file()
        and file.stat().st_mode & 0o077
        and any(secret in file.read_bytes() for secret in secrets)
    ]
    assert [] == found
    logs = {file.stat().st_mode & 0o777 for file in (data / "logs").iterdir()}
    assert {0o600} == logs
