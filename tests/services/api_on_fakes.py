"""The API over fakes as a process of its own: what only shows between clients and sockets.

``python -m tests.services.api_on_fakes PORT GATE NAME=SECONDS…``: a validation waits until the
file GATE exists, as one does whose provider hangs; the names are the server's limits.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import structlog
from flask import Flask

from api import create_app, server
from devstack.server import LOOPBACK
from migrations.model.requests import StartRequest
from tests.fakes.api_client import ACME, TARGET, ApiWorld, FakeServices

THREADS = 16


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

    services.compatibility.validate_change = hang  # type: ignore[method-assign]
    print(started.migration.id, flush=True)
    return create_app(services)


def main(port: str, gate: str, *limits: str) -> None:
    for name, value in (limit.split("=") for limit in limits):
        assert hasattr(server, name), name
        setattr(server, name, int(value))
    if not server.Server(application(Path(gate)), LOOPBACK, int(port), THREADS).serve():
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
