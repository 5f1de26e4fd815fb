"""The commands of ``python -m devstack``: up, down, status and clean."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from dotenv import dotenv_values

from devstack.child import ChildDied, ended_within
from devstack.server import PROJECT, free_port, listens, write_secret
from devstack.stack import DataInUse, holder
from devstack.system import FLOWER_LOGIN, RunningSystem, running_system

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_SECONDS = 60
#: In the folder of the data; of mode 0600, for there are passwords and a token in it.
ENVIRONMENT = "env"
_PORTS = {"REEMBED_PORT": 8000, "REEMBED_FLOWER_PORT": 5555}


def up(data: Path, procfile: Path) -> int:
    """Run everything in the foreground until Ctrl-C, ``down`` or the end of a process."""
    try:
        with _interrupted_once():
            _run(data, procfile)
    except KeyboardInterrupt:
        print("\nStopped; the data is kept. 'make clean' removes it.")
        return 0
    except (ChildDied, DataInUse, TimeoutError) as failure:
        print(failure)
        return 1
    return 0


def _run(data: Path, procfile: Path) -> None:
    print("Starting Redis, PostgreSQL, Milvus, the API, the workers and Flower ...", flush=True)
    urls, variables = data / "urls", data / ENVIRONMENT
    with running_system(data, _users_settings(), procfile) as system:
        try:
            write_secret(variables, exports(system))
            write_secret(urls, _urls(system))
            print(f"{urls.read_text()}\nCtrl-C stops everything.\n", flush=True)
            _follow(system)
        finally:
            print("\nStopping ...", flush=True)
            urls.unlink(missing_ok=True)
            variables.unlink(missing_ok=True)


def exports(system: RunningSystem) -> str:
    """Lines for a shell, with which every command of the documents finds this system.

    Without the ports: ``make up`` would take them for wishes of its user's.
    """
    ours = {
        name: value
        for name, value in system.environment.items()
        if name.startswith("REEMBED_") and name not in _PORTS
    }
    ours |= {"REEMBED_URL": system.url, "REEMBED_TOKEN": system.token}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(ours.items())]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    return "\n".join(lines) + "\n"


def _urls(system: RunningSystem) -> str:
    flower_user, _, flower_password = system.environment[FLOWER_LOGIN].partition(":")
    return (
        f"Dashboard    {system.url}/dashboard  (log in with the admin token)\n"
        f"API          {system.url}\n"
        f"Swagger UI   {system.url}/openapi/swagger\n"
        f"Flower       {system.flower_url}  (user {flower_user}, password {flower_password})\n"
        f"Milvus       {system.environment['REEMBED_MILVUS_URI']}\n"
        f"Admin token  {system.token}\n"
        f"Logs         {system.stack.logs}\n"
        f"Commands     . {shlex.quote(str(system.stack.data / ENVIRONMENT))}\n"
        "             in another shell: then 'reembed', 'celery -A worker reembed' and all other\n"
        "             commands of the documents find this system\n"
    )


def _follow(system: RunningSystem) -> None:
    """Print what the processes log, each line under its name, until one of them ends."""
    logs = {
        name: system.processes.log(name).open(errors="replace") for name in system.processes.names
    }
    for log in logs.values():
        log.seek(0, os.SEEK_END)
    while True:
        for name, log in logs.items():
            for line in log.readlines():
                print(f"{name:8} | {line.rstrip()}", flush=True)
        system.check()
        time.sleep(0.2)


def _users_settings() -> dict[str, str]:
    """What the user's .env and environment say, with ports that are free by default."""
    written = {name: value or "" for name, value in dotenv_values(PROJECT / ".env").items()}
    exported = {name: value for name, value in os.environ.items() if name.startswith("REEMBED_")}
    ports = {name: str(free_port() if listens(port) else port) for name, port in _PORTS.items()}
    return ports | written | exported


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """The first stop signal raises KeyboardInterrupt; later ones must not disturb the stopping."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    yield


def down(data: Path) -> int:
    """Stop what ``up`` started, and wait until it is gone."""
    pid = holder(data)
    if pid is None:
        print("Nothing is running.")
        return 0
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not ended_within(pid, STOP_SECONDS):
        print(f"Process {pid} has not stopped within {STOP_SECONDS} seconds.")
        return 1
    print("Stopped.")
    return 0


def status(data: Path) -> int:
    """Say whether something runs on the data, and where it is reached; 1 when nothing does."""
    pid = holder(data)
    if pid is None:
        print("Nothing is running.")
        return 1
    urls = data / "urls"
    print(f"Running as process {pid}.")
    print(urls.read_text() if urls.exists() else "It is starting or stopping.")
    return 0


def clean(data: Path) -> int:
    """Stop what runs and remove all data."""
    if down(data) != 0:
        return 1
    if data.exists():
        shutil.rmtree(data)
    return 0
