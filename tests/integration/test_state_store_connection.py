"""PostgreSQL away, silent or restarted, and stores on both sides of a fork."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from devstack.server import free_port
from migrations.model.errors import StateStoreUnavailable
from migrations.store import SqlMigrationStore, engine, sessions
from migrations.store.engine import Database
from migrations.store.refusals import refusal_of
from tests.contract.state_store_world import a_bot
from tests.services.pgbouncer import PROGRAM, PgBouncer
from tests.services.servers import running


@pytest.fixture
def store(database_url: str) -> Iterator[SqlMigrationStore]:
    store = SqlMigrationStore(database_url)
    yield store
    store.close()


def test_a_server_that_is_not_there_is_unavailable_with_the_cause_kept() -> None:
    store = SqlMigrationStore(f"postgresql://nobody:secret@127.0.0.1:{free_port()}/nothing")
    with pytest.raises(StateStoreUnavailable) as refusal:
        store.ping()
    assert refusal.value.__cause__ is not None
    assert "secret" not in f"{refusal.value} {refusal.value.__cause__}"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"password": "another"}, "PostgreSQL refuses the user or the password in"),
        ({"username": "stranger"}, "PostgreSQL refuses the user or the password in"),
        ({"database": "elsewhere"}, "PostgreSQL does not have the database in"),
        ({"host": "no-such-host.invalid"}, "The host in REEMBED_DATABASE_URL is not known."),
        ({"port": 1}, "Nothing answers at the host and port in"),
        ({"query": {"sslmode": "require"}}, "The sslmode in REEMBED_DATABASE_URL is not one"),
        ({"query": {"sslmode": "sometimes"}}, "The sslmode in REEMBED_DATABASE_URL is not one"),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_url_is_said_without_repeating_it(
    database_url: str, wrong: dict[str, Any], sentence: str
) -> None:
    url = make_url(database_url).set(**wrong)
    store = SqlMigrationStore(url.render_as_string(hide_password=False))
    with pytest.raises(StateStoreUnavailable) as refusal:
        store.ping()
    assert refusal.value.message.startswith(sentence)
    assert str(url.password) not in refusal.value.message


def test_a_database_that_is_starting_is_no_wrong_database() -> None:
    assert refusal_of("FATAL:  the database system is starting up") is None


def test_a_server_that_accepts_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = SqlMigrationStore(f"postgresql://x:y@127.0.0.1:{silent.getsockname()[1]}/z")
        begun = time.monotonic()
        with pytest.raises(StateStoreUnavailable):
            store.ping()
    assert time.monotonic() - begun < 5


def test_a_server_that_falls_silent_is_given_up_and_the_next_call_connects_anew(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    with database.transaction() as session:
        session.execute(text("SELECT 1"))
    monkeypatch.setattr(engine, "SILENCE_SECONDS", 0.3)
    with pytest.raises(StateStoreUnavailable), database.transaction() as session:
        session.execute(text("SELECT pg_sleep(20)"))
    with database.transaction() as session:
        assert 1 == session.execute(text("SELECT 1")).scalar_one()
    database.close()


def test_a_connection_that_breaks_while_it_is_made_ready_is_unavailable(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_refuse_cut", lambda *_: None)  # it breaks a moment later
    database = Database(database_url)
    with database.transaction() as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    killer = create_engine(database_url)
    with killer.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    killer.dispose()
    with pytest.raises(StateStoreUnavailable), database.transaction() as session:
        session.execute(text("SELECT 1"))
    with database.transaction() as session:
        assert 1 == session.execute(text("SELECT 1")).scalar_one()
    database.close()


@pytest.mark.parametrize("lock", ["lock_for_drop", "lock_kept"])
def test_a_drop_that_takes_long_keeps_its_hold(
    store: SqlMigrationStore, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    monkeypatch.setattr(sessions, "IDLE_SECONDS", 1)
    with getattr(store, lock)("some_collection"):
        time.sleep(1.5)


def test_the_server_knows_who_asks_and_how_long_a_statement_may_take(database_url: str) -> None:
    database = Database(database_url)
    with database.transaction() as session:
        limit = session.execute(text("SHOW statement_timeout")).scalar_one()
        name = session.execute(text("SHOW application_name")).scalar_one()
    assert (f"{sessions.STATEMENT_SECONDS}s", "reembed") == (limit, name)
    database.close()


def test_a_statement_that_the_server_gives_up_is_unavailable(database_url: str) -> None:
    database = Database(database_url)
    impatient = text("SET LOCAL statement_timeout = '100ms'; SELECT pg_sleep(20)")
    with pytest.raises(StateStoreUnavailable), database.transaction() as session:
        session.execute(impatient)
    database.close()


def test_connections_that_the_server_has_cut_are_replaced_without_an_error(
    store: SqlMigrationStore, database_url: str
) -> None:
    store.ping()
    cut = create_engine(database_url)
    with cut.connect() as connection:
        connection.execute(
            text(
                # With a time it is waited for: before, the next query may be what is cut.
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    cut.dispose()
    store.ping()


def test_a_pool_whose_connections_are_all_busy_is_unavailable_until_one_is_free(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "POOL_SECONDS", 0.2)
    monkeypatch.setattr(engine, "POOL_SIZE", 1)
    monkeypatch.setattr(engine, "POOL_OVERFLOW", 1)
    database = Database(database_url)
    with ExitStack() as busy:
        for _ in range(2):
            busy.enter_context(database.transaction()).execute(text("SELECT 1"))
        with pytest.raises(StateStoreUnavailable, match="busy"), database.transaction() as refused:
            refused.execute(text("SELECT 1"))
    with database.transaction() as session:
        assert 1 == session.execute(text("SELECT 1")).scalar_one()
    database.close()


def test_a_server_without_a_connection_left_is_unavailable(database_url: str) -> None:
    role, admin = f"narrow_{uuid4().hex}", create_engine(database_url)
    with admin.begin() as connection:
        limited = f"CREATE ROLE {role} LOGIN PASSWORD 'narrow' CONNECTION LIMIT 0"
        connection.execute(text(limited))
    url = make_url(database_url).set(username=role, password="narrow")
    narrow = Database(url.render_as_string(hide_password=False))
    with pytest.raises(StateStoreUnavailable) as refusal, narrow.transaction() as session:
        session.execute(text("SELECT 1"))
    assert "too many connections" in str(refusal.value.__cause__)
    with admin.begin() as connection:
        connection.execute(text(f"DROP ROLE {role}"))
    admin.dispose()


def test_a_database_without_the_tables_is_unavailable_and_says_what_is_missing(
    empty_database_url: str,
) -> None:
    store = SqlMigrationStore(empty_database_url)
    with pytest.raises(StateStoreUnavailable, match="schema revisions"):
        store.ping()
    store.close()


def test_a_forked_child_and_its_parent_do_not_disturb_each_other(
    store: SqlMigrationStore,
) -> None:
    store.add_bot(a_bot("parents"))
    names = [f"child-{uuid4()}" for _ in range(3)]
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=lambda name=name: store.add_bot(a_bot(name))) for name in names
    ]
    for child in children:
        child.start()
    for _ in range(50):
        assert "parents" == store.bot("parents").bot_id
    for child in children:
        child.join(30)
    assert [0, 0, 0] == [child.exitcode for child in children]
    assert sorted([*names, "parents"]) == [bot.bot_id for bot in store.bots()]


@pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
@pytest.mark.parametrize("options", ["refused", "ignored"])
def test_behind_a_pooler_every_transaction_limits_itself_and_leaves_nothing_behind(
    database_url: str, tmp_path: Path, options: str
) -> None:
    more = {"ignore_startup_parameters": "options"} if options == "ignored" else {}
    with running(PgBouncer(tmp_path / "pgbouncer", database_url, more)) as pooler:
        database = Database(pooler.url)
        for _ in range(2):
            with database.transaction() as session:
                settings = [
                    session.execute(text(f"SHOW {name}")).scalar_one()
                    for name in ("statement_timeout", "idle_in_transaction_session_timeout")
                ]
            assert [f"{sessions.STATEMENT_SECONDS}s", f"{sessions.IDLE_SECONDS}s"] == settings
        with database.reading() as session:
            assert "UTC" == session.execute(text("SHOW timezone")).scalar_one()
            assert "0" == session.execute(text("SHOW statement_timeout")).scalar_one()
        database.close()
