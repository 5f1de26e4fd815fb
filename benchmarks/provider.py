"""The stub provider as a server of its own, steered over HTTP."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from devstack.server import LOOPBACK, Server, listens


class ProviderServer(Server):
    """``python -m devstack.provider``: another process, so that its work is not ours."""

    name = "provider"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/v1"

    def healthy(self) -> bool:
        return listens(self.port)

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "devstack.provider", "--port", str(self.port)]

    def control(self, **wish: Any) -> dict[str, Any]:
        """See ``StubProvider.control``; answers with the statistics."""
        return self._ask("/_control", json.dumps(wish).encode())

    def reset(self) -> None:
        """No limits, no latency, counters at zero."""
        self.control(behave=True, limit={}, latency_seconds=0, reset=True)

    def statistics(self) -> dict[str, Any]:
        return self._ask("/_stats", None)

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        url = f"http://{LOOPBACK}:{self.port}{path}"
        with urllib.request.urlopen(url, body, timeout=30) as answer:
            return dict(json.load(answer))
