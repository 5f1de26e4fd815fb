"""Migrations now and past, over HTTP and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from migrations.model.bots import Caller
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.runs import Migration
from tests.fakes.api_client import ACME, MODEL, TARGET, Api
from tests.fakes.command_line import CommandLine

RUNS = "/embeddings/migrations"


@pytest.fixture
def api() -> Api:
    return Api()


def cancelled(api: Api) -> Migration:
    migration = api.start()
    api.world.system.cancel(ACME, "support")
    api.world.deliver()
    api.world.clock.sleep(60)
    return migration


def three(api: Api) -> list[str]:
    """Ids of two runs that were rolled back and of one that is live, in their order."""
    return [str(run.id) for run in (cancelled(api), cancelled(api), api.start())]


def ids(answer: Any) -> list[str]:
    assert 200 == answer.status_code, answer.json
    return [run["migration_id"] for run in answer.json["migrations"]]


def test_the_newest_come_first_unless_the_oldest_are_asked_for(api: Api) -> None:
    made = three(api)
    assert made[::-1] == ids(api.get(RUNS))
    assert made == ids(api.get(f"{RUNS}?order=oldest"))


def test_a_run_is_shown_with_what_a_list_needs(api: Api) -> None:
    migration = cancelled(api)
    (shown,) = api.get(RUNS).json["migrations"]
    assert ("support", "acme", "acme") == (shown["bot_id"], shown["owner"], shown["requested_by"])
    assert ("rolled_back", "forward", "cancelled") == (
        shown["status"],
        shown["kind"],
        shown["error"]["code"],
    )
    assert f"/embeddings/migration/{migration.id}/progress" == shown["links"]["self"]
    assert shown["finished_at"] is not None


@pytest.mark.parametrize(
    ("query", "which"),
    [
        ("status=rolled_back", [1, 0]),
        ("status=rolled_back&status=pending", [2, 1, 0]),
        ("live=true", [2]),
        ("live=false", [2, 1, 0]),
        ("bot_id=support&kind=forward", [2, 1, 0]),
        ("bot_id=nothing", []),
        ("kind=reverse", []),
        ("phase=validation", [2, 1, 0]),
        ("phase=cleanup", []),
        ("owner=acme", [2, 1, 0]),
    ],
)
def test_filters_leave_out_what_they_do_not_name(api: Api, query: str, which: list[int]) -> None:
    made = three(api)
    assert [made[number] for number in which] == ids(api.get(f"{RUNS}?{query}"))


def test_runs_of_a_time_are_those_asked_for_from_then_and_before_then(api: Api) -> None:
    made = three(api)
    second = api.stored(made[1]).created_at.isoformat().replace("+00:00", "Z")
    assert made[:0:-1] == ids(api.get(f"{RUNS}?since={second}"))
    assert made[:1] == ids(api.get(f"{RUNS}?until={second}"))
    assert [] == ids(api.get(f"{RUNS}?since=2999-01-01"))


def test_pages_have_every_run_once_although_others_are_started_meanwhile(api: Api) -> None:
    made = [str(cancelled(api).id) for _ in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        page = api.get(f"{RUNS}?limit=2{cursor}")
        seen += ids(page)
        cursor = f"&cursor={page.json['next_cursor']}"
        cancelled(api)
    assert (made[::-1], None) == (seen, page.json["next_cursor"])


def test_a_cursor_of_nothing_is_refused(api: Api) -> None:
    answer = api.get(f"{RUNS}?cursor=abc")
    assert (422, "/problems/cursor-invalid") == (answer.status_code, answer.json["type"])


@pytest.mark.parametrize("query", ["since=yesterday", "status=done", "limit=0", "order=up", "x=1"])
def test_what_no_filter_can_be_is_refused(api: Api, query: str) -> None:
    assert 422 == api.get(f"{RUNS}?{query}").status_code


def test_others_see_nothing_and_may_not_ask_for_another_owner(api: Api) -> None:
    made = three(api)
    assert [] == ids(api.get(RUNS, "rival-token"))
    assert [] == ids(api.get(f"{RUNS}?bot_id=support", "rival-token"))
    assert 403 == api.get(f"{RUNS}?owner=acme", "rival-token").status_code
    assert made[::-1] == ids(api.get(f"{RUNS}?owner=acme", "admin-token"))


def test_an_admin_sees_every_owners(api: Api) -> None:
    made = three(api)
    api.world.store.add_grant("rival", "docs", by="x")
    rival = Caller("rival")
    api.world.system.register_bot(rival, BotRegistration("theirs", "docs", "local", MODEL))
    wish = StartRequest("theirs", **TARGET)
    theirs = str(api.world.system.start_migration(rival, wish).migration.id)
    assert {theirs, *made} == set(ids(api.get(RUNS, "admin-token")))
    assert [theirs] == ids(api.get(RUNS, "rival-token"))


def test_the_command_line_lists_whole_ids_and_goes_on(api: Api, tmp_path: Path) -> None:
    made = three(api)
    line = CommandLine(api, tmp_path)
    shown = line.done("list", "--limit", "2")
    assert all(run in shown for run in made[1:])
    assert made[0] not in shown
    assert "--cursor" in shown
    every = line.done("list", "--limit", "2", "--all", "--oldest-first")
    assert made == [run for word in every.split() if (run := word) in made]


def test_the_command_line_filters_as_the_api_does(api: Api, tmp_path: Path) -> None:
    made = three(api)
    line = CommandLine(api, tmp_path)
    shown = line.done("list", "--status", "pending", "--status", "failed", "--bot", "support")
    assert made[2] in shown
    assert made[1] not in shown
    assert made[2] in line.told("list", "--live")
