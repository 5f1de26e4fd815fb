"""Every command that a document shows is one: its program, command and options exist.

A block whose fence says ``sh run`` is run, too, as it stands.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.server import PROJECT
from tests.harness.commands import NotUnderstood, understand
from tests.harness.documents import PAGES, Shown, commands_of, runnable_blocks, shown_in

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.M)


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def not_understood(shown: Shown) -> str | None:
    try:
        understand(list(shown.words), whole=shown.whole)
    except NotUnderstood as error:
        return f"{shown}\n    {error}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    wrong = [reason for shown in shown_in(page) if (reason := not_understood(shown))]
    assert not wrong, "\n".join(wrong)


def test_the_commands_are_found() -> None:
    """Were the reader of the pages broken, nothing would be wrong with any of them."""
    programs = [shown.words[0] for page in PAGES for shown in shown_in(page)]
    assert all(programs.count(program) > 20 for program in ("reembed", "celery", "make"))


@pytest.mark.parametrize(
    "line",
    [
        "celery -A worker reembed isue-token",
        "celery -A worker reembed issue-token --name x",
        "celery -A worker worker --pol threads",
        "celery -A worker inspect activ",
        "celery worker",
        "make dem",
        "make bench ONL=1",
        "reembed bot list",
        "reembed start docs --modl m",
        "python -m benchmark",
        "python -m benchmarks --onl x",
        "frobnicate",
        "true | reembed nothing",
    ],
)
def test_what_does_not_exist_is_found_out(line: str) -> None:
    *_, words = commands_of(line)
    with pytest.raises(NotUnderstood):
        understand(words)


@pytest.mark.parametrize(
    ("page", "block"),
    [(page, block) for page in PAGES for block in runnable_blocks(page)],
    ids=lambda value: name(value) if isinstance(value, Path) else "",
)
def test_what_says_that_it_runs_is_run(page: Path, block: str, tmp_path: Path) -> None:
    shutil.copy(PROJECT / ".env.example", tmp_path)
    programs = str(Path(sys.executable).parent)
    ours = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "HOME": str(tmp_path),
    }
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=ours,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{name(page)}\n{block}\n{run.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = [link for link in _LINK.findall(page.read_text()) if not leads_somewhere(page, link)]
    assert [] == broken


def leads_somewhere(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True  # elsewhere: nothing is asked over the network
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not heading or heading in [slug(text) for text in _HEADING.findall(target.read_text())]


def slug(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
