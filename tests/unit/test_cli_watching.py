"""``reembed watch``: through a whole migration, while the API is away, and for scripts."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.plain import lasting
from cli.views import picture
from cli.watching import Pace, Sight
from migrations.model.states import Status
from tests.fakes.api_client import TARGET, Api
from tests.fakes.command_line import CommandLine


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Whenever a command sleeps, one task of the worker is done."""
    line = CommandLine(Api(), tmp_path)

    def one_task() -> None:
        world = line.api.world
        if tasks := world.pending():
            world.work(tasks.pop(0))

    line.turned = one_task
    return line


def sight(rate: float | None = None, **changes: Any) -> Sight:
    progress = {
        "migration_id": "6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11",
        "bot_id": "support",
        "status": "running",
        "phase": "data_migration",
        "percent": 25.0,
        "total_chunks": 400,
        "processed_chunks": 100,
        "failed_chunks": 0,
        "failed_chunk_errors": [],
        "errors": [],
        "warnings": [],
        "waiting_for": None,
        "decision": None,
        "rows_on_their_way": None,
    }
    return Sight(progress | changes, rate)


def drawn(seen: Sight) -> str:
    console = Console(width=100, record=True, markup=False, file=StringIO())
    console.print(picture(seen))
    return console.export_text()


def test_a_migration_is_watched_to_its_end(line: CommandLine) -> None:
    run = str(line.api.start().id)
    said = line.done("watch", run, "--until", "completed")
    phases = ["pending", "validation", "data_migration", "completed, cleanup", "is completed."]
    places = [said.find(phase) for phase in phases]
    assert -1 not in places, said
    assert places == sorted(places)
    assert line.api.stored(run).status is Status.COMPLETED


def test_what_is_wrong_is_a_line_when_it_begins_and_not_at_each_look(line: CommandLine) -> None:
    run, world, one_task = line.api.start(), line.api.world, line.turned
    looks = iter(range(6))

    def turned() -> None:
        if next(looks, None) is not None:
            world.clock.sleep(12)
        else:
            one_task()

    line.turned = turned
    said = line.done("watch", str(run.id), "--until", "completed")
    assert said.count("No worker is alive") == 1
    assert "(no-worker)" in said


def test_the_rate_is_known_at_the_first_look(line: CommandLine) -> None:
    run, world = line.api.start(), line.api.world
    world.deliver(before="migrations.advance")
    world.clock.sleep(4)
    line.turned = world.deliver
    first = line.done("watch", str(run.id), "--until", "completed").splitlines()[0]
    assert "3.0 chunks/s (last minute)" in first
    assert "all chunks in" in first


def test_a_bot_is_watched_by_its_newest_migration(line: CommandLine) -> None:
    line.api.start()
    assert "is completed." in line.done("watch", "support")


def test_a_bot_that_never_moved_cannot_be_watched(line: CommandLine) -> None:
    result = line.run("watch", "support")
    assert result.exit_code == 1
    assert "never had a migration" in result.stderr


def test_with_json_each_new_answer_is_a_line(line: CommandLine) -> None:
    line.api.start()
    said = line.done("watch", "support", "--json").splitlines()
    assert len(said) > 5
    assert set(said) <= set(line.answered)
    assert json.loads(said[-1])["status"] == "completed"


def test_it_comes_back_as_soon_as_it_is_so_far(line: CommandLine) -> None:
    run = str(line.api.start().id)
    line.done("watch", run, "--until", "switched")
    assert line.api.stored(run).status is Status.SWITCHED


def test_a_run_that_is_undone_ends_the_waiting_with_4(line: CommandLine) -> None:
    run = str(line.api.start().id)
    line.done("cancel", "support", "--yes")
    result = line.run("watch", run, "--until", "completed")
    assert result.exit_code == 4
    assert "It is rolled_back, not completed." in result.stderr
    line.done("watch", run, "--until", "rolled_back")


def test_a_run_that_waits_for_a_person_ends_the_waiting_with_4(line: CommandLine) -> None:
    run = str(line.api.start(postpone=True).id)
    result = line.run("watch", run, "--until", "completed")
    assert result.exit_code == 4
    assert "postponed" in result.stderr
    assert f"reembed switch {run}" in result.stderr
    line.done("watch", run, "--until", "waiting")


def test_a_start_can_be_watched_at_once(line: CommandLine) -> None:
    to = ("--provider", TARGET["provider"], "--model", TARGET["model"])
    to += ("--dimension", str(TARGET["dimension"]))
    assert "is completed." in line.done("start", "support", *to, "--yes", "--watch")


def test_it_goes_on_when_the_api_comes_back(line: CommandLine) -> None:
    run = str(line.api.start().id)
    one_task, away = line.turned, iter([False, True, True, True])

    def turned() -> None:
        line.is_away = next(away, False)
        one_task()

    line.turned = turned
    result = line.run("watch", run, "--until", "completed")
    assert result.exit_code == 0
    assert result.stderr.count("trying on") == 3


def test_an_api_that_stays_away_ends_it_with_3(line: CommandLine) -> None:
    run = str(line.api.start().id)
    line.is_away = True
    result = line.run("watch", run, "--patience", "60")
    assert result.exit_code == 3
    assert 60 <= sum(line.slept) < 80


def test_a_run_of_somebody_else_ends_it_with_1_at_once(line: CommandLine) -> None:
    run = str(line.api.start().id)
    line.environ["REEMBED_TOKEN"] = "rival-token"
    assert line.run("watch", run).exit_code == 1
    assert line.slept == []


def test_the_rate_is_that_of_the_last_minute() -> None:
    pace = Pace()
    for seconds in range(0, 120, 10):
        pace.note(seconds, 1000 if seconds >= 60 else seconds)  # a standstill after 60 s
    assert pace.rate == pytest.approx((1000 - 50) / 60)
    pace.note(120, 1000)
    assert pace.rate == 0


def test_a_rate_is_told_only_where_chunks_are_moved() -> None:
    assert "rate" in drawn(sight(rate=10.0))
    assert "rate" not in drawn(sight(rate=10.0, phase="verification"))


def test_there_is_no_rate_before_a_second_look() -> None:
    pace = Pace()
    pace.note(0, 100)
    assert pace.rate is None


def test_chunks_that_are_counted_anew_begin_a_new_rate() -> None:
    pace = Pace()
    pace.note(0, 100)
    pace.note(10, 0)
    assert pace.rate is None
    pace.note(20, 50)
    assert pace.rate == 5


def test_the_time_that_is_left_follows_the_rate() -> None:
    assert sight(rate=10.0).seconds_left == 30


@pytest.mark.parametrize(
    "changes",
    [
        {"waiting_for": "The provider's rate limit."},
        {"status": "rolling_back"},
        {"phase": "verification"},
        {"processed_chunks": 400},
        {"rate": 0.0},
        {"rate": None},
    ],
)
def test_no_time_is_told_when_nothing_moves_towards_the_end(changes: dict[str, Any]) -> None:
    assert sight(**{"rate": 10.0, **changes}).seconds_left is None


def test_the_picture_tells_what_is_known() -> None:
    waits = "The provider's rate limit; goes on in 12 s."
    error = {"code": "provider-rate-limited", "message": "Too many requests."}
    said = drawn(sight(rate=10.0, waiting_for=waits, errors=[error]))
    for part in ("6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11", "25.0 %", "100 of 400", "10.0 chunks/s"):
        assert part in said
    assert waits in said
    assert "Too many requests. (provider-rate-limited)" in said
    assert "all chunks in" not in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (None, "not known")],
)
def test_times_are_told_as_people_do(seconds: float | None, said: str) -> None:
    assert lasting(seconds) == said
