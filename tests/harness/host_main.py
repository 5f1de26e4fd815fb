"""A host of workers: a network of its own in which the servers seem to be at home.

Run as a process of its own by :mod:`tests.harness.hosts`::

    python -m tests.harness.host_main SOCKET PROCFILE LOGS PORT...

It listens on the loopback device of its own network, on the ports of the real servers, and
gives the listening sockets to whoever has started it: a socket stays in the network in which it
was opened, so that one's threads carry what the workers say into the other network, by a wire
that can be cut.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from devstack import network_namespace
from devstack.processes import Processes
from devstack.server import LOOPBACK


def main() -> None:
    given, procfile, logs, *ports = sys.argv[1:]
    network_namespace.enter()
    with socket.socket(socket.AF_UNIX) as parent:
        parent.connect(given)
        listeners = [socket.create_server((LOOPBACK, int(port)), backlog=128) for port in ports]
        socket.send_fds(parent, [b"."], [listener.fileno() for listener in listeners])
    for listener in listeners:
        listener.close()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with Processes(os.environ, logs=Path(logs), procfile=Path(procfile)):
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
