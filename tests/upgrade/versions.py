"""Two versions of the code: each runs from a folder of its own, by the same Python."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.server import PROJECT

#: What an operator types.
REEMBED = ("celery", "-A", "worker", "reembed")
#: Imports what a Procfile's commands do, and tells every file that Python read.
_ASK = """
import sys, api, worker
print(*(m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)), sep="\\n")
"""


@dataclass(frozen=True)
class Version:
    """``name`` is for people: old or new."""

    name: str
    code: Path

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """What makes a process with these variables run this code."""
        return {**variables, "PYTHONPATH": str(self.code)}

    def command(self, variables: Mapping[str, str], *words: str) -> str:
        """What a command of this version prints. Raises AssertionError with what it said last."""
        done = subprocess.run(
            words,
            env=self.environment(variables),
            cwd=self.code,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        told = f"{' '.join(words[:5])} of the {self.name} code ended with {done.returncode}"
        assert done.returncode == 0, f"{told}:\n{done.stdout[-500:]}\n{done.stderr[-2500:]}"
        return done.stdout.strip()

    def upgrade_schema(self, variables: Mapping[str, str]) -> None:
        self.command(variables, *REEMBED, "upgrade-schema")

    def issue_token(self, variables: Mapping[str, str], owner: str) -> str:
        wish = ("--name", "upgrade", "--owner", owner)
        told = self.command(variables, *REEMBED, "issue-token", *wish)
        return told.splitlines()[-1]

    @property
    def knows_grants(self) -> bool:
        return (self.code / "migrations" / "bots" / "grants.py").exists()

    def grant(self, variables: Mapping[str, str], owner: str, pattern: str) -> None:
        self.command(variables, *REEMBED, "grant", "--owner", owner, pattern)

    def files(self, variables: Mapping[str, str]) -> list[Path]:
        """Every file that a process of this version has imported."""
        return [Path(f) for f in self.command(variables, sys.executable, "-c", _ASK).splitlines()]


def lay_out(revision: str, folder: Path) -> Version:
    """The code as of a revision of this repository, in ``folder``."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=PROJECT, capture_output=True, check=False
    )
    if packed.returncode:
        raise SystemExit(f"{revision} cannot be laid out: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return Version("old", folder)


def this_code() -> Version:
    return Version("new", PROJECT)


def assert_apart(old: Version, new: Version, variables: Mapping[str, str]) -> None:
    """Each version's processes import that version's files and none of the other's."""
    for version in (old, new):
        found = {_owner(file, old) for file in version.files(variables)} - {None}
        assert found == {version.name}, f"processes of the {version.name} code import {found}"


def _owner(file: Path, old: Version) -> str | None:
    """Whose file it is; None for Python's and the environment's."""
    if file.is_relative_to(old.code):  # lies somewhere below the project
        return "old"
    if file.is_relative_to(sys.prefix) or not file.is_relative_to(PROJECT):
        return None
    return "new"
