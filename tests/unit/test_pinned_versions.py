"""What is installed is what was pinned: every version has hashes, and the files agree."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: File → the extras of setup.cfg that it installs.
FILES = {
    "requirements.lock": (),
    "requirements-local.lock": ("local",),
    "requirements-dev.lock": ("local", "dev"),
}
#: What stands in an environment of its own, and what is asked to stand there.
APPLICATIONS = "requirements-applications.lock"
ASKED_FOR = ROOT / "tests" / "applications" / "packages" / "requirements.in"
_PINNED = re.compile(
    r"^([a-z0-9._-]+)==([^ ;]+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", re.M
)
_NAME = re.compile(r"^[A-Za-z0-9._-]+")


def pinned(file: str) -> set[tuple[str, str]]:
    """Name and version; a name may have one for each Python."""
    return {(name, version) for name, version, _ in _PINNED.findall((ROOT / file).read_text())}


@pytest.mark.parametrize("file", [*FILES, APPLICATIONS])
def test_every_version_is_pinned_with_its_hashes(file: str) -> None:
    lines = (ROOT / file).read_text().splitlines()
    named = [line for line in lines if re.match(r"[a-z0-9]", line)]
    assert len(named) == len(pinned(file)) > 50


@pytest.mark.parametrize("file", FILES)
def test_what_setup_names_is_pinned(file: str) -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = [setup["options"]["install_requires"]]
    wanted += [setup["options.extras_require"][extra] for extra in FILES[file]]
    lines = [line.strip() for block in wanted for line in block.splitlines()]
    names = {m.group().lower() for line in lines if (m := _NAME.match(line))}
    assert names
    assert names <= {name for name, _ in pinned(file)}


def test_the_files_agree() -> None:
    every = pinned("requirements-dev.lock")
    for file in FILES:
        assert pinned(file) <= every, file


def test_the_applications_asked_for_are_pinned() -> None:
    names = {m.group() for line in ASKED_FOR.read_text().splitlines() if (m := _NAME.match(line))}
    assert len(names) == 3
    assert names <= {name for name, _ in pinned(APPLICATIONS)}
