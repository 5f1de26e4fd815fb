"""The real Milvus standalone server, from the PyPI package ``milvus`` 2.3.5."""

from __future__ import annotations

import sys
from pathlib import Path

from devstack.milvus_health import answers
from devstack.server import LOOPBACK, Server


class MilvusStandaloneServer(Server):
    """The real engine, in a network namespace of its own where that is allowed.

    Its program is unpacked (250 MB) into ``programs`` once, by default beside
    its data.
    """

    name = "milvus-standalone"
    startup_seconds = 180

    def __init__(self, data: Path, programs: Path | None = None) -> None:
        super().__init__(data)
        self._programs = (programs or self.data).resolve()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def healthy(self) -> bool:
        return answers(self.port)

    def _command(self) -> list[str | Path]:
        program = [sys.executable, "-m", "devstack.milvus_standalone_main"]
        return [*program, str(self.port), self.data, self._programs]
