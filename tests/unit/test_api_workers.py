"""Who works, as callers and admins see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from migrations.model import task_names as names
from migrations.process.at_hand import AtHand
from migrations.process.presence import Presence
from tests.fakes.api_client import Api
from tests.fakes.command_line import CommandLine


@pytest.fixture
def api() -> Api:
    return Api()


def at_work(api: Api, *queues: str) -> str:
    """A worker that is at a batch of the migration in the answer."""
    run, hand = api.start(), AtHand()
    with hand.at(names.BATCH, str(run.id)):
        Presence(api.world.services, "batch@here", lambda: queues, hand).speak()
    return str(run.id)


def readers(found: Any) -> dict[str, int]:
    return {one["queue"]: one["workers"] for one in found["queues"]}


def test_anybody_sees_how_many_are_alive_and_what_they_read(api: Api) -> None:
    at_work(api, names.BATCH)
    found = api.get("/workers").json
    assert (1, None) == (found["alive"], found["workers"])
    assert {names.BATCH: 1, names.CONTROL_QUEUE: 0}.items() <= readers(found).items()


def test_an_admin_sees_who_they_are_and_at_what(api: Api) -> None:
    run = at_work(api, names.BATCH)
    (worker,) = api.get("/workers", "admin-token").json["workers"]
    assert ("batch@here", True, [names.BATCH]) == (
        worker["name"],
        worker["alive"],
        worker["queues"],
    )
    (task,) = worker["work"]
    assert (run, "data_migration", 1) == (task["migration_id"], task["phase"], task["count"])


def test_one_that_has_fallen_silent_is_shown_and_reads_nothing(api: Api) -> None:
    at_work(api, names.BATCH)
    api.world.clock.sleep(13)
    found = api.get("/workers", "admin-token").json
    assert (0, [False]) == (found["alive"], [one["alive"] for one in found["workers"]])
    assert {0} == set(readers(found).values())


def test_the_command_line_shows_them_and_names_queues_that_nobody_reads(
    api: Api, tmp_path: Path
) -> None:
    run = at_work(api, names.BATCH)
    shown = CommandLine(api, tmp_path, "admin-token").done("workers")
    assert "1 workers are alive." in shown
    assert f"1 x migrations.batch of {run}" in shown
    assert "Queues that nobody reads:\n  migrations.control\n" in shown
    assert "batch@here" not in CommandLine(api, tmp_path).done("workers")
