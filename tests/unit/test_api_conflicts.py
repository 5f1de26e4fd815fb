"""Late writes that were not taken over, over HTTP and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from migrations.model.left_behind import Conflict, ConflictReason
from migrations.model.runs import Migration
from tests.fakes.api_client import Api
from tests.fakes.command_line import CommandLine

CONFLICTS = "/bots/support/conflicts"


@pytest.fixture
def api() -> Api:
    return Api()


def in_conflict(api: Api) -> Migration:
    """Three conflicts, found one after the other."""
    migration = api.start()
    api.world.deliver()
    for key in ("b", "c", "a"):
        one = Conflict(key, {"text": key}, ConflictReason.LIVE_IS_NEWER)
        api.world.store.record_conflicts(migration.id, [one])
        api.world.clock.sleep(1)
    return migration


def keys(answer: Any) -> list[str]:
    return [one["key"] for one in answer.json["conflicts"]]


def counted(api: Api) -> int:
    return int(api.get("/bots/support/embeddings/migration-status").json["conflicts"])


def test_conflicts_say_what_was_written_when_and_why_it_was_not_taken_over(api: Api) -> None:
    migration = in_conflict(api)
    newest = api.get(CONFLICTS).json["conflicts"][0]
    del newest["at"]
    assert newest == {
        "migration_id": str(migration.id),
        "key": "a",
        "reason": "live_is_newer",
        "fields": {"text": "a"},
    }


def test_conflicts_come_in_pages_the_newest_first(api: Api) -> None:
    migration = in_conflict(api)
    first = api.get(f"{CONFLICTS}?limit=2&migration_id={migration.id}")
    second = api.get(f"{CONFLICTS}?limit=2&cursor={first.json['next_cursor']}")
    assert (["a", "c"], ["b"]) == (keys(first), keys(second))
    assert None is second.json["next_cursor"]
    assert 422 == api.get(f"{CONFLICTS}?cursor=abc").status_code


def test_what_somebody_has_judged_is_counted_no_more(api: Api) -> None:
    migration = in_conflict(api)
    assert {"settled": 1} == api.delete(CONFLICTS, json={"keys": ["a", "z"]}).json
    assert 2 == counted(api)
    assert {"settled": 2} == api.delete(CONFLICTS, json={"all": True}).json
    assert {"settled": 0} == api.delete(CONFLICTS, json={"all": True}).json
    assert 0 == counted(api)
    told = api.get(f"/embeddings/migration/{migration.id}/events").json["events"][-1]
    assert "acme settled 2 conflicts; 0 are left." == told["sentence"]


@pytest.mark.parametrize("body", [{}, {"keys": []}, {"keys": ["a"], "all": True}, {"all": False}])
def test_which_conflicts_are_judged_is_said_once(api: Api, body: Any) -> None:
    assert 422 == api.delete(CONFLICTS, json=body).status_code


def test_another_owner_neither_sees_nor_settles(api: Api) -> None:
    in_conflict(api)
    assert 404 == api.get(CONFLICTS, "rival-token").status_code
    assert 404 == api.delete(CONFLICTS, "rival-token", json={"all": True}).status_code
    assert 3 == counted(api)


def test_the_command_line_lists_and_settles(api: Api, tmp_path: Path) -> None:
    in_conflict(api)
    line = CommandLine(api, tmp_path)
    assert "live_is_newer" in line.done("conflicts", "list", "support")
    assert 1 == line.run("conflicts", "settle", "support", "a", typed="n\n").exit_code
    assert "1 conflicts" in line.done("conflicts", "settle", "support", "a", "--yes")
    assert "2 conflicts" in line.done("conflicts", "settle", "support", "--all", "--yes")
    assert 2 == line.run("conflicts", "settle", "support", "--yes").exit_code
