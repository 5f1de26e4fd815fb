"""Hosts of workers that can be cut off, each with a network of its own.

    with worker_host(ground, "north") as north, worker_host(ground, "south"):
        run = bot.start(LARGE, batch_size=10)
        north.cut_off()

The test, the API and the servers stay where they are. Needs a kernel that allows network
namespaces (:func:`devstack.network_namespace.may_enter`).
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devstack.child import Child
from devstack.forwarder import forward
from devstack.server import LOOPBACK
from tests.harness.tcp_proxy import TcpProxy
from tests.harness.world import World, write_procfile

_STARTUP_SECONDS = 30.0


@dataclass(frozen=True)
class WorkerHost:
    """One batch and one control worker, and their wires to the servers by name."""

    name: str
    wires: dict[str, TcpProxy]

    def cut_off(self) -> None:
        """Nothing gets through in either direction, and nobody is told: a cable was pulled."""
        for wire in self.wires.values():
            wire.stall()

    def connect(self) -> None:
        for wire in self.wires.values():
            wire.restore()


@contextmanager
def worker_host(world: World, name: str) -> Iterator[WorkerHost]:
    """Workers of ``world`` on a host of their own; start it from the main thread."""
    folder = world.folder / name
    procfile = write_procfile(folder, {"api": 0, "flower": 0}, mark=name)
    ports = {wire: _port(url) for wire, url in _addresses(world).items()}
    with ExitStack() as stack:
        wires = {wire: stack.enter_context(TcpProxy(port)) for wire, port in ports.items()}
        child = Child(name, folder / f"{name}.log")
        stack.callback(child.stop)
        listeners = _started(child, world, folder, procfile, list(ports.values()))
        for listener, wire in zip(listeners, wires.values(), strict=True):
            stack.callback(listener.close)
            target = (LOOPBACK, wire.port)
            threading.Thread(target=forward, args=(listener, target), daemon=True).start()
        yield WorkerHost(name, wires)


def _addresses(world: World) -> dict[str, str]:
    servers = world.servers
    return {
        "redis": servers.redis_url,
        "postgres": servers.database_url,
        "milvus": servers.milvus_url,
        "provider": world.provider.base_url,
    }


def _started(
    child: Child, world: World, folder: Path, procfile: Path, ports: list[int]
) -> list[socket.socket]:
    """The sockets that the host listens on, one a port, which are of its network."""
    given = folder / "listeners"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(given))  # an address has room for a hundred characters
        server.listen(1)
        server.settimeout(_STARTUP_SECONDS)
        module = [sys.executable, "-m", "tests.harness.host_main"]
        child.start(
            [*module, given, procfile, folder, *map(str, ports)], world.environment, folder=folder
        )
        child_end, _ = server.accept()
        with child_end:
            _, descriptors, _, _ = socket.recv_fds(child_end, 1, len(ports))
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
