"""Packages of applications at work, each in a process of its own.

They import slowly, print, warn, and some need other versions than we have: they stand in
an environment of their own (requirements-applications.lock).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack.processes import inherited_environment
from devstack.stack import PROJECT
from migrations.adapters.providers.catalogue import LOCAL_MODEL, LOCAL_PROVIDER
from migrations.model.config import EmbeddingRef
from tests.harness import rows

SCRIPTS = Path(__file__).parent / "packages"
#: Nobody outside is told of what is done here.
SILENT = {
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "MEM0_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
}
OURS = sys.executable
THEIRS = str(PROJECT / ".venv-applications" / "bin" / "python")


@dataclass
class Package:
    """One process, started when first asked; it does one thing at a time."""

    python: str
    script: str
    arguments: Sequence[str] = ()
    _process: subprocess.Popen[str] | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, command: str, embedded: list[str] | None = None, **arguments: Any) -> Any:
        """What the package answers; the texts it had embedded meanwhile are added to the list."""
        with self._turn:
            process = self._running()
            self._say(process, {"command": command, **arguments})
            while True:
                answer = self._hear(process)
                if "embed" not in answer:
                    break
                if embedded is not None:
                    embedded += answer["embed"]
                self._say(process, vectors_of(answer["dimension"], answer["embed"]))
        if "failed" in answer:
            raise AssertionError(f"{self.script}: {answer['failed']}")
        return answer["done"]

    def stop(self) -> None:
        if self._process is not None:
            with self._process as process:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(10)
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [self.python, str(SCRIPTS / self.script), *self.arguments]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=inherited_environment() | SILENT,
            )
        return self._process

    def _say(self, process: subprocess.Popen[str], what: Any) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()

    def _hear(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{self.script} has ended: {process.wait(10)}"
        return dict(json.loads(line))


def vectors_of(dimension: int, texts: list[str]) -> list[list[float]]:
    ref = EmbeddingRef(provider=LOCAL_PROVIDER, model=LOCAL_MODEL, dimension=dimension)
    return rows.embedded(ref, texts).tolist()  # type: ignore[no-any-return]
