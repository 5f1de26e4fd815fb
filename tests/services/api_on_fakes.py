"""The API over fakes as a process of its own: what only shows between clients and sockets.

``python -m tests.services.api_on_fakes PORT GATE NAME=SECONDS…``: validations and searches wait
until the file GATE exists, as they do whose provider hangs; the names are the server's limits.
A line on its input switches the bot.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import structlog
from flask import Flask

from api import create_app, server
from api.services import services_of
from api.streams import Line, Stream, StreamRoom
from api.waiting import Guest, Parked, WaitingRoom
from devstack.server import LOOPBACK
from migrations.model.requests import StartRequest
from tests.fakes.api_client import ACME, TARGET, ApiWorld, FakeServices
from tests.fakes.embedders import LOCAL_64, LOCAL_256

THREADS = 16
READERS = 4
#: Of those who wait for the bot to change.
PLACES = 50
#: Of those who watch a run.
STREAMS = 40


def application(gate: Path) -> Flask:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    world = ApiWorld(settings={"trusted_proxies": 1})
    started = world.system.start_migration(ACME, StartRequest("support", **TARGET))
    services = FakeServices(world)
    validate_change = services.compatibility.validate_change

    def hang(*wish: Any, **agreed: Any) -> Any:
        print("validating", flush=True)
        while not gate.exists():
            time.sleep(0.02)
        return validate_change(*wish, **agreed)

    search = services.searching.search

    def hang_as_well(*wish: Any) -> Any:
        if gate.exists():
            return search(*wish)
        os.write(1, b"searching\n")
        while not gate.exists():
            time.sleep(0.02)
        return search(*wish)

    services.compatibility.validate_change = hang  # type: ignore[method-assign]
    services.searching.search = hang_as_well  # type: ignore[method-assign]
    print(started.migration.id, flush=True)
    threading.Thread(target=_switch_when_told, args=(world,), daemon=True).start()
    return create_app(services)


class _Room(WaitingRoom):
    """Says who comes, and who leaves before his time."""

    def take_in(self, guest: Guest, parked: Parked) -> None:
        super().take_in(guest, parked)
        os.write(1, b"waits\n")  # whole, also when many come at once

    def let_go(self, guest: Guest) -> bool:
        was_here = super().let_go(guest)
        if was_here:
            os.write(1, b"hung up\n")
        return was_here


class _Streams(StreamRoom):
    """Says who comes, and who leaves."""

    def take_in(self, line: Line, stream: Stream) -> None:
        super().take_in(line, stream)
        os.write(1, b"watches\n")

    def let_go(self, line: Line) -> bool:
        was_here = super().let_go(line)
        if was_here:
            os.write(1, b"watches no more\n")
        return was_here


def _switch_when_told(world: ApiWorld) -> None:
    for target in cycle((LOCAL_64, LOCAL_256)):
        sys.stdin.readline()
        world.deliver()
        world.system.start_migration(ACME, StartRequest("support", **target.canonical))
        print("switched", flush=True)


def main(port: str, gate: str, *limits: str) -> None:
    for name, value in (limit.split("=") for limit in limits):
        module = server if hasattr(server, name) else sys.modules[__name__]
        assert hasattr(module, name), name
        setattr(module, name, int(value))
    app = application(Path(gate))
    room = _Room(services_of(app).system.bots_of, PLACES)
    stream_room = _Streams(services_of(app).history.look, STREAMS)
    if not server.Server(app, LOOPBACK, int(port), THREADS, READERS, room, stream_room).serve():
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
