"""What has happened in a migration, over HTTP and on the command line."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api import streams
from migrations.lifecycle.history import SENTENCES, sentence
from migrations.model.runs import Event, Migration
from migrations.model.states import Phase
from tests.fakes.api_client import ACME, Api
from tests.fakes.command_line import CommandLine

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def api() -> Api:
    return Api()


def completed(api: Api) -> Migration:
    migration = api.start()
    api.world.deliver()
    return migration


def events(migration: Migration) -> str:
    return f"/embeddings/migration/{migration.id}/events"


def blocks(answer: TestResponse) -> list[dict[str, str]]:
    assert 200 == answer.status_code, answer.text
    assert "text/event-stream; charset=utf-8" == answer.headers["Content-Type"]
    told = [one.splitlines() for one in answer.text.split("\n\n") if "event: " in one]
    return [dict(line.split(": ", 1) for line in lines) for lines in told]


def names(answer: Any) -> list[str]:
    return [event["name"] for event in answer.json["events"]]


def test_each_event_has_a_sentence_for_people(api: Api) -> None:
    told = api.get(events(completed(api))).json
    by_name = {event["name"]: event["sentence"] for event in told["events"]}
    assert "acme asked for it." == by_name["started"]
    assert "Within data migration: catching up." == by_name["step_taken"]
    assert "as generation 2." in by_name["switched"]
    assert told["count"] == len(told["events"])
    assert None is told["next_after"]


def test_an_event_of_a_later_version_is_told_by_its_name(api: Api) -> None:
    migration = api.start()
    with api.world.store._held(migration.id) as held:
        api.world.store._tell(held.migration, "slowed_down", {"by": "boss"}, held.now)
    assert "Slowed down by boss." == api.get(events(migration)).json["events"][-1]["sentence"]


def _told(name: str, **detail: Any) -> str:
    at = datetime(2026, 11, 3, tzinfo=UTC)
    return sentence(Event(1, at, name, Phase.DATA_MIGRATION, 1, {"by": "boss", **detail}))


def test_what_somebody_has_steered_is_told_with_its_figures() -> None:
    assert "boss paused it: the bill." == _told("paused", reason="the bill", seconds_left=7.0)
    assert "boss paused it: Bills come first." == _told("paused", reason="Bills come first.")
    assert "boss paused it." == _told("paused", reason=None)
    assert "boss let it go on after 60 s." == _told("resumed", paused_seconds=60.2)
    assert "boss set its pace: share 0.1." == _told("throttled", share=0.1, tokens_per_minute=None)
    assert "boss gave it 20 s instead of 10 s." == _told("extended", from_seconds=10, to_seconds=20)


def test_every_event_that_is_written_anywhere_has_a_sentence() -> None:
    written = set(_events_written())
    assert {"started", "phase_begun", "undone", "held_dropped", "retired"} <= written
    assert set() == written - set(SENTENCES)


#: Which argument of a call is the event's name.
_PLACE = {"Change": 1, "_rolling_back": 2, "_tell": 2}


def _events_written() -> Iterator[str]:
    root = Path(__file__).parents[2] / "migrations"
    for file in (*root.glob("lifecycle/*.py"), *root.glob("store/*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = _PLACE.get(node.func.id, len(node.args))
                yield from _texts(node.args[place : place + 1])
            if isinstance(node, ast.Assign) and _is_event(node.targets[0]):
                first = node.value.elts[:1] if isinstance(node.value, ast.Tuple) else [node.value]
                yield from _texts(first)


def _is_event(target: ast.expr) -> bool:
    return ast.unparse(target).lstrip("(").startswith("event")


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.IfExp):
            yield from _texts([node.body, node.orelse])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_events_come_in_pages_that_follow_each_other(api: Api) -> None:
    migration = completed(api)
    every = names(api.get(events(migration)))
    seen, after = [], 0
    while after is not None:
        page = api.get(f"{events(migration)}?limit=4&after={after}")
        seen += names(page)
        after = page.json["next_after"]
    assert every == seen


def test_a_stream_tells_what_was_and_how_far_it_is_and_that_it_is_over(api: Api) -> None:
    migration = completed(api)
    told = blocks(api.get(events(migration), headers=STREAM))
    assert [*["happened"] * (len(told) - 2), "progress", "end"] == [one["event"] for one in told]
    page = api.get(events(migration)).json["events"]
    assert page == [json.loads(one["data"]) for one in told[:-2]]
    assert [str(event["event_id"]) for event in page] == [one["id"] for one in told[:-2]]
    assert api.progress(migration) == json.loads(told[-2]["data"])
    assert {"status": "completed"} == json.loads(told[-1]["data"])


def test_a_stream_of_a_run_that_is_live_has_no_end(api: Api) -> None:
    told = blocks(api.get(events(api.start()), headers=STREAM))
    assert ["happened", "progress"] == [one["event"] for one in told]


def test_a_stream_goes_on_behind_the_last_event_that_was_received(api: Api) -> None:
    migration = completed(api)
    every = blocks(api.get(events(migration), headers=STREAM))
    last = {"Last-Event-ID": every[1]["id"]}
    assert every[2:] == blocks(api.get(f"{events(migration)}?after=0", headers=STREAM | last))


def test_who_knows_all_of_a_run_that_is_over_is_told_not_to_come_again(api: Api) -> None:
    migration = completed(api)
    last = {"Last-Event-ID": blocks(api.get(events(migration), headers=STREAM))[-3]["id"]}
    assert 204 == api.get(events(migration), headers=STREAM | last).status_code
    api.world.system.rollback(ACME, migration.id)
    api.world.deliver()
    assert "rolled_back" in api.get(events(migration), headers=STREAM | last).text


@pytest.mark.parametrize("headers", [{}, STREAM])
def test_a_run_of_another_owner_has_no_events(api: Api, headers: dict[str, str]) -> None:
    answer = api.get(events(api.start()), "rival-token", headers={**headers})
    assert (404, "/problems/migration-not-found") == (answer.status_code, answer.json["type"])


def test_a_stream_that_has_no_place_is_refused_with_what_to_do_instead(api: Api) -> None:
    class Full:
        def has_place(self, owner: str) -> bool:
            return False

    migration, desk = api.start(), {streams.ENVIRON_KEY: Full()}
    answer = api.get(events(migration), headers={**STREAM}, environ_base=desk)
    assert (503, "/problems/too-many-streams") == (answer.status_code, answer.json["type"])
    assert "Retry-After" in answer.headers
    assert "ask for JSON" in answer.json["detail"]
    assert 200 == api.get(events(migration), environ_base=desk).status_code


def test_who_is_revoked_may_not_go_on(api: Api) -> None:
    opened = []

    class Desk:
        def has_place(self, owner: str) -> bool:
            return True

        def open(self, stream: streams.Stream) -> None:
            opened.append(stream)

    migration = api.start()
    text, token = api.services.access.issue("page", ACME.owner)
    desk = {streams.ENVIRON_KEY: Desk()}
    api.get(events(migration), text, headers={**STREAM}, environ_base=desk)
    (stream,) = opened
    assert stream.may_go_on()
    api.services.access.revoke(token.id)
    assert not stream.may_go_on()


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


def test_the_command_line_tells_events_in_sentences(line: CommandLine) -> None:
    migration = completed(line.api)
    shown = line.done("events", str(migration.id))
    assert "acme asked for it.\n" in shown
    assert shown.endswith("Completed.\n")
    assert shown == line.done("events", "support")
    line.told("events", str(migration.id))


def test_the_command_line_follows_to_the_end_and_tells_each_once(line: CommandLine) -> None:
    migration = line.api.start()
    shown = line.done("events", "support", "--follow").splitlines()
    assert shown == line.done("events", str(migration.id)).splitlines()
    assert shown[-1].endswith("Completed.")


def test_the_command_line_follows_while_the_api_is_away(line: CommandLine) -> None:
    migration = line.api.start()
    going_on = line.turned

    def away_for_once() -> None:
        line.is_away = not line.is_away and len(line.slept) < 3
        going_on()

    line.turned = away_for_once
    result = line.run("events", str(migration.id), "-f")
    assert (0, True) == (result.exit_code, result.stdout.endswith("Completed.\n"))
    assert "trying on" in result.stderr
