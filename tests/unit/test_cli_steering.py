"""Commands that steer a run on its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.model.states import Status
from tests.fakes.api_client import Api
from tests.fakes.command_line import CommandLine


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return CommandLine(Api(), tmp_path)


def started(line: CommandLine) -> str:
    return str(line.api.start().id)


def test_a_migration_is_paused_with_a_reason_and_resumed(line: CommandLine) -> None:
    run = started(line)
    assert "paused it (Lunch.)" in line.done("pause", "support", "--reason", "Lunch.")
    assert line.api.stored(run).status is Status.PAUSED
    line.done("watch", run, "--until", "paused")
    assert line.run("watch", run, "--until", "completed").exit_code == 4
    line.told("resume", run)
    line.api.world.deliver()
    assert line.api.stored(run).status is Status.COMPLETED


def test_a_pause_that_comes_too_late_ends_with_1(line: CommandLine) -> None:
    run = started(line)
    line.api.world.deliver()
    said = line.run("pause", run)
    assert said.exit_code == 1
    assert "already-switched" in said.output
