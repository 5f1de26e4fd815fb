"""Milvus Lite, a Milvus in pure Python that serves many clients."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from devstack.child import Child
from devstack.milvus_health import answers
from devstack.server import LOOPBACK, Server


class MilvusLiteServer(Server):
    """The Milvus of the embedded stack: small and quick to start, no duplicate keys."""

    name = "milvus-lite"

    def _new_child(self, log: Path) -> Child:
        # It closes its collections on SIGINT only; SIGTERM ends it as a crash would.
        steps = ((signal.SIGINT, 15.0),)
        return Child(self.name, log, death_signal=signal.SIGINT, stop_steps=steps)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def healthy(self) -> bool:
        return answers(self.port)

    def _command(self) -> list[str | Path]:
        # Its own default host is every interface.
        where = ["--data-dir", str(self.data), "--host", LOOPBACK, "--port", str(self.port)]
        return [sys.executable, "-m", "milvus_lite", "server", *where]
