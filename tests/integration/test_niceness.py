"""Niceness passed to the session, by real processes in sessions of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.server import PROJECT

#: The tests may have been started with `nice` themselves.
OURS = os.getpriority(os.PRIO_PROCESS, 0)
PASS_IT = """
import sys
from pathlib import Path
from worker.niceness import pass_to_session
pass_to_session(Path(sys.argv[1]))
"""


def passed(group: Path, *, niceness: int, leads: bool = True) -> None:
    """Start a process that passes its niceness to the session it leads, or does not lead."""
    subprocess.run(
        ["nice", "-n", str(niceness), sys.executable, "-c", PASS_IT, str(group)],
        cwd=PROJECT,
        start_new_session=leads,
        check=True,
    )


def test_a_nice_process_makes_the_session_it_leads_nice(tmp_path: Path) -> None:
    group = tmp_path / "autogroup"
    passed(group, niceness=5)
    assert str(OURS + 5) == group.read_text()


@pytest.mark.skipif(OURS > 0, reason="all our processes are nice")
def test_a_process_that_is_not_nice_changes_nothing(tmp_path: Path) -> None:
    passed(tmp_path / "autogroup", niceness=0)
    assert [] == list(tmp_path.iterdir())


def test_a_session_led_by_another_process_is_left_alone(tmp_path: Path) -> None:
    passed(tmp_path / "autogroup", niceness=5, leads=False)
    assert [] == list(tmp_path.iterdir())


def test_a_kernel_without_such_groups_is_no_fault(tmp_path: Path) -> None:
    passed(tmp_path / "missing" / "autogroup", niceness=5)
