"""Commands that steer a run on its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.model.states import Status
from migrations.ports.limiter import Learned
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


def test_a_migration_is_given_so_much_more_time(line: CommandLine) -> None:
    run = started(line)
    before = line.api.stored(run).config.timeout_seconds
    line.done("extend", run, "2h")
    assert line.api.stored(run).config.timeout_seconds == before + 7200


def test_a_pace_is_said_or_taken_away_and_not_both(line: CommandLine) -> None:
    run = started(line)
    assert line.run("throttle", run).exit_code == 2
    assert line.run("throttle", run, "--share", "0.1", "--off").exit_code == 2
    line.done("throttle", run, "--off")


def test_a_migration_is_slowed_down_and_says_so(line: CommandLine) -> None:
    line.api.world.limiter.learned = lambda provider: Learned(provider, {})  # type: ignore[method-assign]
    run = started(line)
    assert "10% of" in line.done("throttle", run, "--share", "0.1", "--requests", "60")
    assert "60 requests a minute" in line.done("status", "support")


def test_a_migration_that_was_cancelled_is_tried_again(line: CommandLine) -> None:
    run = started(line)
    line.done("cancel", "support", "--yes")
    line.api.world.deliver()
    line.done("retry", run)
    line.api.world.deliver()
    newest = line.api.world.store.latest("support")
    assert newest is not None
    assert (str(newest.id) != run, newest.status) == (True, Status.COMPLETED)


def test_an_admin_lists_and_forgets_what_was_learned(tmp_path: Path) -> None:
    line = CommandLine(Api(), tmp_path, "admin-token")
    line.api.world.limiter.has_learned["slow"] = Learned("slow", {}, requests_per_minute=12)
    assert "12 times a minute" in line.done("paces", "list")
    line.done("paces", "forget", "slow")
    assert line.run("paces", "forget", "slow").exit_code == 1
