"""Runs Milvus standalone and leads connections on one loopback port to it.

Run as a process of its own by :mod:`devstack.milvus_standalone`::

    python -m devstack.milvus_standalone_main PORT DATA_FOLDER PROGRAM_FOLDER

The listening socket is opened first, so that it stays in the machine's network
while Milvus, which binds every interface, gets one where it is alone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import milvus

from devstack import network_namespace
from devstack.child import LAUNCHER
from devstack.forwarder import forward
from devstack.server import LOOPBACK, free_port

#: A constant of Milvus 2.3.5 on any machine: it notes its servers here, whatever its
#: configuration or TMPDIR say, so what it leaves behind can only be removed by this name.
SESSIONS = Path("/tmp/milvus")  # noqa: S108  # not ours to choose
#: It usually ends at once, by a panic of its own shutdown; its log makes that safe.
STOP_SECONDS = 5


def main() -> int:
    port, data, programs = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    listener = socket.create_server((LOOPBACK, port), backlog=128)
    _enter_own_network()
    config = _configured(data)
    server = _start(config, data, programs)
    _stop_with_us(server)
    target = (LOOPBACK, int(config.get("proxy_port")))
    threading.Thread(target=forward, args=(listener, target), daemon=True).start()
    exit_code = server.wait()
    _remove_session_file(server.pid)
    return exit_code


def _enter_own_network() -> None:
    if network_namespace.may_enter():
        network_namespace.enter()
    else:
        print(
            "WARNING: no network namespace is allowed here, so Milvus standalone "
            "listens on every interface of this machine while it runs.",
            flush=True,
        )


def _configured(data: Path) -> Any:
    """Milvus' configuration, its file written, every port one that is free in our network."""
    config = milvus.MilvusServerConfig()
    config.update(data_dir=str(data), proxy_port=free_port())
    config.resolve()
    return config


def _start(config: Any, data: Path, programs: Path) -> subprocess.Popen[bytes]:
    milvus._initialize_data_files(str(programs))
    program = programs / "bin" / "milvus"
    environment = os.environ | {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(free_port()),
        "MILVUS_RUN_DIR": str(data / "run"),
        "MILVUSCONF": str(data / "configs"),
        "LD_LIBRARY_PATH": f"{program.parent}:{os.environ.get('LD_LIBRARY_PATH', '')}",
    }
    # Our own death, however it comes, is the server's: nothing else could reach it.
    launched = [
        sys.executable,
        "-I",
        "-S",
        str(LAUNCHER),
        str(os.getpid()),
        str(int(signal.SIGKILL)),
    ]
    command = [*launched, "-", str(program), "run", "standalone"]
    return subprocess.Popen(command, cwd=data, env=environment, stdin=subprocess.DEVNULL)


def _remove_session_file(pid: int) -> None:
    """Milvus writes one outside its data folder, to places no setting changes."""
    sessions, runtime = SESSIONS, Path("/run/milvus")
    (sessions / f"server_id_{pid}").unlink(missing_ok=True)
    for folder in (sessions, runtime):
        with suppress(OSError):  # not empty: another Milvus runs on this machine
            folder.rmdir()


def _stop_with_us(server: subprocess.Popen[bytes]) -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.terminate()
        reaper = threading.Timer(STOP_SECONDS, server.kill)
        reaper.daemon = True  # must not keep us once the server has gone
        reaper.start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


if __name__ == "__main__":
    sys.exit(main())
