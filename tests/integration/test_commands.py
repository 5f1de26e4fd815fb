"""What an operator does on the command line about who may do what, on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from migrations.bots.tokens import Access
from migrations.model.access import Deed
from migrations.model.bots import Caller, Role
from migrations.model.errors import NotAuthenticated
from migrations.model.notifications import NewDelivery
from migrations.store import SqlMigrationStore
from tests.harness.receiver import SECRET, Receiver, receiving
from worker.commands import reembed

Run = Callable[..., str]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """What a command prints; ``code`` is the exit code it must have."""
    monkeypatch.setenv("REEMBED_ENV_FILE", "")
    monkeypatch.setenv("REEMBED_DATABASE_URL", database_url)
    monkeypatch.setenv("REEMBED_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("REEMBED_MILVUS_URI", "http://127.0.0.1:1")

    def command(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(reembed, words)
        assert code == result.exit_code, result.output
        return str(result.output).strip()

    return command


@pytest.fixture
def access(database_url: str) -> Access:
    return Access(SqlMigrationStore(database_url))


def columns(line: str) -> list[str]:
    return line.split("\t")


def test_a_chatbots_first_token_is_issued_on_the_command_line(run: Run, access: Access) -> None:
    text = run("issue-token", "--name", "chatbot", "--owner", "me", "--role", "query")
    assert Caller("me", Role.QUERY) == access.authenticate(text)
    run("issue-token", "--name", "n", "--owner", "me", "--role", "chatbot", code=2)


def test_a_token_is_issued_listed_rotated_and_revoked(run: Run, access: Access) -> None:
    first = run("issue-token", "--name", "laptop", "--owner", "me", "--expires-in", "90d")
    known = access.authenticate(first)
    assert Caller("me", Role.USER) == known
    number, state, role, owner, name, _, ends, used = columns(run("tokens"))
    assert (str(known.token_id), "active", "user") == (number, state, role)
    assert ("me", "laptop") == (owner, name)
    assert ends != "never"
    assert "never" == used
    second = run("rotate-token", number)
    with pytest.raises(NotAuthenticated):
        access.authenticate(first)
    third = run("rotate-token", str(access.authenticate(second).token_id), "--keep-old", "1h")
    assert Caller("me") == access.authenticate(second) == access.authenticate(third)
    run("revoke-token", str(access.authenticate(third).token_id))
    with pytest.raises(NotAuthenticated):
        access.authenticate(third)
    shown = run("tokens")
    assert ["revoked", "active", "revoked"] == [columns(line)[1] for line in shown.splitlines()]
    assert not any(text in shown for text in (first, second, third))


@pytest.mark.parametrize("owner", ["", " me", "m\x1b[31me", "m\ne", "m\u202ee", "m" * 101])
def test_a_token_for_nobody_or_for_what_nobody_can_read_is_not_issued(
    run: Run, access: Access, owner: str
) -> None:
    assert "printable" in run("issue-token", "--name", "n", "--owner", owner, code=1)
    assert "printable" in run("issue-token", "--name", owner, "--owner", "me", code=1)
    assert [] == access.all()


@pytest.mark.parametrize("lasts", ["90", "d", "0d", "-1d", "1.5h", "9999999999d", "99999d", "½d"])
def test_a_duration_that_is_none_is_refused(run: Run, lasts: str) -> None:
    wish = ("--name", "n", "--owner", "me", "--expires-in", lasts)
    assert "duration" in run("issue-token", *wish, code=2) or "between" in run(
        "issue-token", *wish, code=2
    )


def test_what_is_not_there_is_said_in_a_sentence(run: Run) -> None:
    assert "Error: There is no such token" in run("revoke-token", "404", code=1)
    assert "Error: There is no such token" in run("rotate-token", "404", code=1)
    assert "Error: There is no such grant" in run("revoke-grant", "404", code=1)


def test_a_name_of_before_names_were_checked_does_nothing_to_the_terminal(
    run: Run, database_url: str
) -> None:
    store = SqlMigrationStore(database_url)
    store.add_token("\x1b[2Jlaptop", "m\te", Role.USER, "a" * 64, None)
    store.close()
    assert ["m\ufffde", "\ufffd[2Jlaptop"] == columns(run("tokens"))[3:5]


def test_a_grant_is_given_listed_and_revoked(run: Run) -> None:
    assert "acme may register" in run("grant", "--owner", "acme", "acme_*")
    number, owner, pattern, by, _ = columns(run("grants"))
    assert ("acme", "acme_*", "by the command line") == (owner, pattern, by)
    run("revoke-grant", number)
    assert "" == run("grants")


def test_the_trail_is_shown(run: Run, access: Access, database_url: str) -> None:
    _, token = access.issue("laptop", "me")
    store = SqlMigrationStore(database_url)
    for subject in ("docs", "faq"):
        store.record_deed(Deed(token.id, "192.0.2.7", "GET", "/bots/<bot_id>", subject, 200))
    lines = run("trail").splitlines()
    assert ["faq", "docs"] == [columns(line)[6] for line in lines]
    assert [str(token.id), "me", "laptop", "192.0.2.7", "GET /bots/<bot_id>"] == columns(lines[0])[
        1:6
    ]
    assert "docs" in run("trail", "--subject", "docs", "--owner", "me", "--token", str(token.id))
    assert "" == run("trail", "--owner", "you")
    assert 1 == len(run("trail", "--limit", "1").splitlines())
    store.close()


def test_endpoints_are_listed_without_their_urls_and_tried(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "" == run("endpoints")
    store = SqlMigrationStore(database_url)
    store.tell([], [NewDelivery("gone", "msg_1", {"type": "migration.started"})])
    with receiving(Receiver()) as receiver:
        ops = {"url": receiver.url, "secret": SECRET, "owner": "me"}
        monkeypatch.setenv("REEMBED_WEBHOOKS", json.dumps({"ops": ops}))
        gone, listed = run("endpoints").splitlines()
        assert ["gone", "no longer set", "", "1 waiting", "0 given up"] == columns(gone)
        assert ["ops", "me", "*", "0 waiting", "0 given up"] == columns(listed)
        assert "It was taken." == run("try-endpoint", "ops")
        assert ["reembed.test"] == [message["type"] for _, message in receiver.messages]
        receiver.answer = lambda _: (500, b"")
        assert "Error: It answered 500." == run("try-endpoint", "ops", code=1)
    assert "There is no endpoint 'night' (ops)." in run("try-endpoint", "night", code=1)
    store.close()
