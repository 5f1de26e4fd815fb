"""Where ``reembed`` finds the API and a token, and what it does with the token."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.fakes.api_client import ACME_TOKEN, Api
from tests.fakes.command_line import URL, CommandLine


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Nothing is known yet."""
    return CommandLine(Api(), tmp_path, token=None)


def test_login_keeps_address_and_token_for_its_owner_alone(line: CommandLine) -> None:
    said = line.done("login", URL, typed=f"{ACME_TOKEN}\n")
    assert ACME_TOKEN not in said
    assert stat.S_IMODE(line.config.stat().st_mode) == 0o600
    assert stat.S_IMODE(line.config.parent.stat().st_mode) == 0o700
    assert [file.name for file in line.config.parent.iterdir()] == ["login.json"]
    assert "support" in line.done("bots", "list")


def test_a_token_that_is_refused_is_not_kept(line: CommandLine) -> None:
    result = line.run("login", URL, typed="stolen\n")
    assert result.exit_code == 1
    assert "stolen" not in result.output
    assert not line.config.exists()


def test_a_token_that_only_asks_is_kept_and_told_what_it_may_not(line: CommandLine) -> None:
    line.done("login", URL, typed="query-token")
    assert "text" in line.done("search", "support", "text 3.")
    refused = line.run("bots", "list")
    assert 1 == refused.exit_code
    assert "the role read, user or admin" in refused.stderr


def test_login_replaces_what_was_kept(line: CommandLine) -> None:
    for token in ("rival-token", ACME_TOKEN):
        line.done("login", URL, typed=token)
    assert json.loads(line.config.read_text()) == {"url": URL, "token": ACME_TOKEN}


def test_login_takes_what_the_environment_names(line: CommandLine) -> None:
    line.environ |= {"REEMBED_URL": URL, "REEMBED_TOKEN": ACME_TOKEN}
    line.done("login")
    assert line.config.exists()


def test_login_says_that_plain_http_is_overheard(line: CommandLine) -> None:
    assert "as it is" in line.run("login", URL, typed=ACME_TOKEN).stderr


def test_logout_forgets_it(line: CommandLine) -> None:
    line.done("login", URL, typed=ACME_TOKEN)
    line.done("logout")
    line.done("logout")
    assert line.run("bots", "list").exit_code == 2


def test_without_an_address_it_says_what_to_do(line: CommandLine) -> None:
    result = line.run("bots", "list")
    assert result.exit_code == 2
    assert "reembed login" in result.stderr


def test_the_environment_comes_before_what_was_kept(line: CommandLine) -> None:
    line.done("login", URL, typed="rival-token")
    line.environ["REEMBED_TOKEN"] = ACME_TOKEN
    assert "support" in line.done("bots", "list")


def test_a_kept_token_is_sent_to_no_other_address(line: CommandLine) -> None:
    line.done("login", URL, typed=ACME_TOKEN)
    asked = len(line.asked)
    line.environ["REEMBED_URL"] = "http://elsewhere.test"
    result = line.run("bots", "list")
    assert result.exit_code == 2
    assert "No token is known for http://elsewhere.test" in result.stderr
    assert len(line.asked) == asked


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ü", " "])
def test_what_is_no_token_is_refused_and_not_repeated(line: CommandLine, token: str) -> None:
    line.environ |= {"REEMBED_URL": URL, "REEMBED_TOKEN": token}
    result = line.run("bots", "list")
    assert result.exit_code == 2
    assert token.strip() == "" or token not in result.output
    assert line.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "reembed.test",
        "ftp://reembed.test",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "http://u:p@reembed.test",
        "http://reembed.test:99999",
        f"{URL}?a=b",
    ],
)
def test_what_is_no_address_is_refused(line: CommandLine, url: str) -> None:
    assert line.run("login", url, typed=ACME_TOKEN).exit_code == 2
    assert line.asked == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"url": 1, "token": 2}', "\x00"])
def test_a_file_of_other_content_is_said_to_be_unreadable(line: CommandLine, text: str) -> None:
    line.config.parent.mkdir()
    line.config.write_text(text)
    result = line.run("bots", "list")
    assert result.exit_code == 2
    assert "log in again" in result.stderr
