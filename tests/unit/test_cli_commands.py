"""Each command of ``reembed`` once, against the API over the real use cases on fakes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli.commands import reembed
from migrations.model.states import Status
from tests.fakes.api_client import ACME_TOKEN, MODEL, TARGET, Api
from tests.fakes.command_line import CommandLine
from tests.fakes.embedders import LOCAL_64
from tests.fakes.world import row_of

TO = ("--provider", TARGET["provider"], "--model", TARGET["model"])
TO += ("--dimension", str(TARGET["dimension"]))


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return CommandLine(Api(), tmp_path)


@pytest.fixture
def admin(tmp_path: Path) -> CommandLine:
    return CommandLine(Api(), tmp_path, "admin-token")


def started(line: CommandLine, **changes: Any) -> str:
    return str(line.api.start(**changes).id)


def completed(line: CommandLine) -> str:
    run = started(line)
    line.api.world.deliver()
    assert line.api.stored(run).status is Status.COMPLETED
    return run


def test_bots_are_listed(line: CommandLine) -> None:
    assert "support" in line.done("bots", "list")
    assert json.loads(line.told("bots", "list"))["count"] == 1


def test_a_bot_is_shown(line: CommandLine) -> None:
    assert "support_docs_live" in line.done("bots", "show", "support")
    assert json.loads(line.told("bots", "show", "support"))["bot_id"] == "support"


def test_a_bot_is_registered_edited_and_removed(line: CommandLine) -> None:
    by = ("--collection", "docs", "--provider", "local", "--model", MODEL)
    assert "docs_live" in line.done("bots", "register", "new", *by, "--text-field", "text")
    assert "yes" in line.done("bots", "edit", "new", "--drop-originals")
    assert "docs" in line.done("bots", "remove", "new", "--yes")
    assert line.run("bots", "show", "new").exit_code == 1


def test_the_embedded_text_is_diagnosed(line: CommandLine) -> None:
    assert "text" in line.done("bots", "diagnose", "support")


def test_an_edit_that_names_nothing_is_not_understood(line: CommandLine) -> None:
    assert line.run("bots", "edit", "support").exit_code == 2
    assert line.asked == []


def test_the_status_says_what_is_wrong_and_what_to_do(line: CommandLine) -> None:
    said = line.done("status", "support")
    assert "Wrong just now:\n  No worker is alive, so no migration moves. Start a batch" in said


def test_a_change_is_validated(line: CommandLine) -> None:
    assert "It can change to" in line.done("validate", "support", *TO)
    assert json.loads(line.told("validate", "support", *TO))["compatible"]


def test_a_change_that_is_not_possible_ends_with_1(line: CommandLine) -> None:
    line.api.world.vectors.drop("support_docs")
    result = line.run("validate", "support", *TO, "--json")
    assert result.exit_code == 1
    assert result.stdout == line.answered[-1] + "\n"


def test_a_trial_shows_what_was_found_and_what_all_would_take(line: CommandLine) -> None:
    result = line.run("trial", "support", *TO, "--chunks", "20")
    said = result.stdout
    assert said.index("content") < said.index("20 of 20 chunks") < said.index("All of it")
    told = json.loads(line.run("trial", "support", *TO, "--chunks", "20", "--json").stdout)
    assert (0 if told["passed"] else 1) == result.exit_code
    assert ["support_docs"] == [n for n in line.api.world.vectors.names() if "support" in n]


def test_a_migration_is_estimated(line: CommandLine) -> None:
    assert "20" in line.done("estimate", "support", *TO)
    assert json.loads(line.told("estimate", "support"))["chunks"] == 20


def test_a_start_shows_what_it_takes_and_asks(line: CommandLine) -> None:
    said = line.done("start", "support", *TO, typed="y\n")
    assert said.index("tokens") < said.index("Start it?") < said.index("reembed watch ")
    assert line.api.world.driven()


def test_a_start_that_nobody_agrees_to_starts_nothing(line: CommandLine) -> None:
    assert line.run("start", "support", *TO, typed="n\n").exit_code == 1
    assert not line.api.world.driven()


def test_a_start_with_json_asks_nothing_and_needs_a_yes(line: CommandLine) -> None:
    assert line.run("start", "support", *TO, "--json").exit_code == 2
    assert line.asked == []
    action = json.loads(line.told("start", "support", *TO, "--yes"))
    assert action["created"]


def test_any_field_of_a_start_can_be_set(line: CommandLine) -> None:
    more = ("--set", "over_long=truncate", "--set", 'gates={"recall": 0.9}', "--postpone")
    line.done("start", "support", *TO, "--yes", *more)
    (run,) = line.api.world.driven()
    assert run.config.over_long.value == "truncate"
    assert run.config.gates == {"recall": 0.9}
    assert run.config.postpone


def test_a_start_sent_twice_with_one_key_starts_one(line: CommandLine) -> None:
    once = ("start", "support", *TO, "--yes", "--idempotency-key", "a")
    first, second = (json.loads(line.told(*once)) for _ in range(2))
    assert first["migration"]["migration_id"] == second["migration"]["migration_id"]


def test_a_start_whose_answer_is_lost_says_how_to_start_it_once(line: CommandLine) -> None:
    line.is_away = True
    lost = line.run("start", "support", *TO, "--yes")
    assert lost.exit_code == 3
    key = line.asked[-1].headers["Idempotency-Key"]
    assert f"--idempotency-key {key}" in lost.stderr


def test_a_key_that_no_header_can_hold_is_not_understood(line: CommandLine) -> None:
    once = ("start", "support", *TO, "--yes", "--idempotency-key", "a\nb")
    assert line.run(*once).exit_code == 2


def test_the_status_tells_of_the_way_back(line: CommandLine) -> None:
    assert "never had a migration" in line.done("status", "support")
    run = completed(line)
    said = line.done("status", "support")
    assert run in said
    assert "There is a way back until" in said
    assert json.loads(line.told("status", "support"))["rollback_ready"]


def test_live_migrations_are_listed(admin: CommandLine) -> None:
    run = started(admin)
    assert run in admin.done("active")
    assert json.loads(admin.told("active"))["count"] == 1


def test_a_migration_is_cancelled(line: CommandLine) -> None:
    run = started(line)
    line.done("cancel", "support", typed="y\n")
    line.api.world.deliver()
    assert line.api.stored(run).status is Status.ROLLED_BACK


def test_a_run_that_waits_goes_on_when_it_is_accepted(line: CommandLine) -> None:
    run = started(line, postpone=True)
    line.api.world.deliver()
    assert line.api.stored(run).status is Status.WAITING
    line.done("switch", run)
    line.api.world.deliver()
    assert line.api.stored(run).status is Status.COMPLETED


def test_a_reason_is_kept_with_the_switch(line: CommandLine) -> None:
    run = started(line, postpone=True)
    line.api.world.deliver()
    line.done("switch", "support", "--reason", "Looked at it.")
    assert line.api.stored(run).decision["accepted"]["reason"] == "Looked at it."


def test_a_rollback_tells_what_it_means_and_asks(line: CommandLine) -> None:
    run = completed(line)
    said = line.run("rollback", run, "--mode", "now", typed="n\n")
    assert said.exit_code == 1
    assert "readers meanwhile" in said.output
    assert line.api.stored(run).status is Status.COMPLETED


def test_a_migration_is_rolled_back(line: CommandLine) -> None:
    run = completed(line)
    assert "reembed watch" in line.done("rollback", "support", "--yes")
    line.api.world.deliver()
    assert line.api.stored(run).status is Status.ROLLED_BACK


def test_before_the_switch_a_rollback_says_that_nothing_has_switched(line: CommandLine) -> None:
    run = started(line)
    assert "It has not switched" in line.done("rollback", run, typed="y\n")
    line.api.world.deliver()
    assert line.api.stored(run).status is Status.ROLLED_BACK


def test_a_report_is_shown_and_written_as_a_page(line: CommandLine, tmp_path: Path) -> None:
    run = completed(line)
    assert "vectors_of_their_text" in line.done("report", run)
    assert json.loads(line.told("report", "support"))["migration_id"] == run
    page = tmp_path / "report.html"
    line.done("report", run, "--html", str(page))
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_a_bot_is_searched(line: CommandLine) -> None:
    assert "k003" in line.done("search", "support", "text 3.", "--limit", "1")
    assert json.loads(line.told("search", "support", "text 3."))["generation"] == 1


def test_what_is_live_is_shown(line: CommandLine) -> None:
    assert "support_docs" in line.done("live", "support")
    assert json.loads(line.told("live", "support"))["generation"] == 1


def test_chunks_are_written_deleted_and_looked_after(line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "chunks.jsonl"
    chunk = {"key": "a", "fields": {"text": "new", "page": 1}}
    file.write_text(f"{json.dumps(chunk)}\n{json.dumps(chunk | {'key': 'b'})}\n")
    assert "2 writes" in line.done("chunks", "put", "support", str(file))
    assert "1 writes" in line.done("chunks", "delete", "support", "a")
    assert "3" in line.done("chunks", "journal", "support")
    line.api.world.deliver()
    assert json.loads(line.told("chunks", "journal", "support"))["applied_position"] == 3


def test_chunks_come_from_the_standard_input_too(line: CommandLine) -> None:
    chunk = {"key": "a", "fields": {"text": "new", "page": 1}}
    line.done("chunks", "put", "support", "-", typed=json.dumps(chunk))
    assert json.loads(line.told("chunks", "journal", "support"))["last_position"] == 1


def test_a_file_that_is_no_json_is_not_understood(line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "chunks.jsonl"
    file.write_text("key,text\n")
    assert line.run("chunks", "put", "support", str(file)).exit_code == 2
    assert line.run("chunks", "put", "support", str(tmp_path / "none")).exit_code == 2
    assert line.asked == []


def test_golden_queries_are_put_listed_and_cleared(line: CommandLine) -> None:
    queries = [{"text": "What is text 3?", "relevant": ["k003"]}]
    line.done("golden", "put", "support", "-", typed=json.dumps(queries))
    assert "What is text 3?" in line.done("golden", "list", "support")
    assert "0 golden queries" in line.done("golden", "clear", "support", "--yes")


def test_tokens_are_issued_rotated_revoked_and_listed(admin: CommandLine) -> None:
    for_acme = ("--name", "laptop", "--owner", "acme", "--expires-in", "90d")
    text = admin.done("tokens", "issue", *for_acme).strip()
    number = str(json.loads(admin.told("tokens", "list"))["tokens"][-1]["token_id"])
    assert admin.api.get("/bots", text).status_code == 200
    admin.done("tokens", "rotate", number, "--keep-old", "1h")
    admin.done("tokens", "revoke", number, "--yes")
    assert admin.api.get("/bots", text).status_code == 401
    assert text not in admin.done("tokens", "list")


def test_a_chatbots_token_is_issued_and_told_what_it_may_not(admin: CommandLine) -> None:
    text = admin.done(
        *("tokens", "issue", "--name", "chatbot", "--owner", "acme", "--role", "query")
    ).strip()
    assert admin.api.post("/bots/support/search", text, json={"text": "where?"}).status_code == 200
    assert admin.api.get("/bots", text).status_code == 403
    assert "query" in admin.done("tokens", "list")


def test_grants_are_added_listed_and_revoked(admin: CommandLine) -> None:
    number = json.loads(admin.told("grants", "add", "rival", "rival_*"))["grant_id"]
    assert "rival_*" in admin.done("grants", "list")
    admin.done("grants", "revoke", str(number))
    assert "rival_*" not in admin.done("grants", "list")


def test_the_trail_is_read(admin: CommandLine) -> None:
    admin.done("grants", "add", "rival", "rival_*")
    assert "POST /grants" in admin.done("trail")


def test_more_bots_than_a_page_holds_are_all_listed(line: CommandLine) -> None:
    by = ("--collection", "docs", "--provider", "local", "--model", MODEL)
    line.done("bots", "register", "another", *by, "--text-field", "text")
    line.rewritten = lambda path: f"{path}{'&' if '?' in path else '?'}limit=1"
    said = line.done("bots", "list")
    assert len(line.done("bots", "list", "--json").splitlines()) == 2
    assert "support" in said
    assert "another" in said


def test_ids_stay_whole_however_long_they_are(line: CommandLine) -> None:
    run = completed(line)
    (collection,) = {line.api.stored(run).target_collection}
    assert collection in line.done("status", "support")


def test_what_would_move_the_cursor_is_not_printed(line: CommandLine) -> None:
    line.api.world.vectors.put("support_docs", row_of("k003", "\x1b[2Jtext 3.", LOCAL_64))
    said = line.done("search", "support", "\x1b[2Jtext 3.")
    assert "\ufffd[2Jtext 3." in said
    assert "\x1b" not in said


def commands() -> Iterator[tuple[str, click.Command]]:
    def below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            for part, child in command.commands.items():
                yield from below(f"{name} {part}".strip(), child)
        else:
            yield name, command

    yield from below("", reembed)


def test_every_command_but_login_and_logout_takes_json() -> None:
    without = [n for n, c in commands() if not any("--json" in o.opts for o in c.params)]
    assert without == ["login", "logout"]


@pytest.mark.parametrize(
    "asked",
    [
        lambda line: line.run("bots", "list"),
        lambda line: line.run("bots", "list", "--json"),
        lambda line: line.run("bots", "show", "nobodys"),
        lambda line: line.run("start", "support", *TO, "--yes"),
        lambda line: line.run("login", typed=""),
    ],
)
def test_the_callers_token_is_in_no_output(
    line: CommandLine, asked: Callable[[CommandLine], Any]
) -> None:
    assert ACME_TOKEN not in asked(line).output
