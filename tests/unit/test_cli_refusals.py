"""How a command ends, and what it says, when the API refuses, is away, or is another program."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.client import Client, Reply
from cli.config import Address
from cli.endings import Away
from cli.http import over_http
from cli.refusals import Refused
from devstack.server import free_port
from migrations.model.errors import StateStoreUnavailable
from tests.fakes.api_client import ACME_TOKEN, Api
from tests.fakes.command_line import CommandLine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return CommandLine(Api(), tmp_path)


def test_a_refusal_is_its_sentence_and_what_to_do(line: CommandLine) -> None:
    result = line.run("bots", "show", "nobodys")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Refused: Bot not found (bot-not-found)." in result.stderr
    assert "'reembed bots list' shows yours." in result.stderr


def test_a_refusal_names_each_field_that_is_wrong(line: CommandLine) -> None:
    result = line.run("estimate", "support", "--set", "modell=x", "--set", "dimension=0")
    assert result.exit_code == 1
    assert "did you mean 'model'?" in result.stderr
    assert "body $.dimension" in result.stderr


def test_with_json_a_refusal_is_the_problem_as_it_is(line: CommandLine) -> None:
    result = line.run("bots", "show", "nobodys", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["type"] == "/problems/bot-not-found"
    assert result.stderr == ""


def test_an_api_that_cannot_answer_just_now_ends_it_with_3(line: CommandLine) -> None:
    line.api.fail_bots(StateStoreUnavailable())
    assert line.run("bots", "list").exit_code == 3


def test_an_api_that_is_away_ends_it_with_3(line: CommandLine) -> None:
    line.is_away = True
    assert line.run("bots", "list").exit_code == 3


def test_what_is_not_understood_ends_it_with_2(line: CommandLine) -> None:
    for arguments in (["bots", "shwo"], ["start", "support"], ["estimate", "b", "--set", "x"]):
        assert line.run(*arguments).exit_code == 2
    assert line.asked == []


def test_ids_are_one_part_of_a_path_whatever_is_in_them(line: CommandLine) -> None:
    line.run("bots", "show", "../tokens?x=1#")
    assert line.asked[-1].url.endswith("/bots/..%2Ftokens%3Fx%3D1%23")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"),
        Reply(200, {"content-type": "text/html"}, b"<h1>Welcome</h1>"),
        Reply(404, {}, b""),
        Reply(302, {"location": "https://login.example"}, b""),
    ],
)
def test_what_is_not_the_api_is_told_to_be_something_else(reply: Reply) -> None:
    client = Client(Address("http://reembed.test", ACME_TOKEN), lambda _: reply)
    with pytest.raises(Away, match=r"http://reembed\.test"):
        client.ask("GET", "/bots")


def test_an_answer_that_is_cut_off_is_told_to_be() -> None:
    cut = Reply(200, {"content-type": "application/json"}, b'{"bots": [')
    answer = Client(Address("http://reembed.test", ACME_TOKEN), lambda _: cut).ask("GET", "/bots")
    with pytest.raises(Away, match="cut off"):
        answer.value  # noqa: B018 -- it is looked at


def test_a_problem_that_is_no_object_is_still_a_refusal() -> None:
    assert "no reason given" in Refused("nonsense", None).message


# --- over a socket ----------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/bots")
            self.end_headers()
            return
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def served() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """The address of a server, and what it was asked with which token."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        asked: list[tuple[str, str | None]] = []
        server.asked = asked  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_an_answer_comes_over_http() -> None:
    with served() as (url, asked):
        answer = Client(Address(url, "t"), over_http).ask("GET", "/bots", query={"limit": 1})
    assert answer.value == {"path": "/bots?limit=1"}
    assert asked == [("/bots?limit=1", "Bearer t")]


def test_the_token_follows_no_redirection() -> None:
    with served() as (url, asked), pytest.raises(Away, match="points to /bots"):
        Client(Address(url, "t"), over_http).ask("GET", "/moved")
    assert [path for path, _ in asked] == ["/moved"]


def test_a_closed_port_is_told_with_its_address() -> None:
    port = free_port()
    with pytest.raises(Away, match=f"http://127.0.0.1:{port} is not reached: Connection refused"):
        Client(Address(f"http://127.0.0.1:{port}", "t"), over_http).ask("GET", "/bots")


def test_help_needs_none_of_the_servers_packages() -> None:
    program = (
        "import sys; from cli.commands import reembed; reembed(['--help'], standalone_mode=False);"
        "print(sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(run.stderr.replace("'", "").strip(" []\n").split(", "))
    heavy = {"api", "migrations", "worker", "flask", "pymilvus", "sqlalchemy", "celery", "numpy"}
    assert "cli" in loaded
    assert not loaded & (heavy | {"pydantic", "rich", "http", "ssl"})
