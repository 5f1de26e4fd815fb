"""Users' own tables: what is read of them, and in which words they cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from devstack.postgres import PostgresServer
from migrations.adapters.text_tables import KEYS_AT_ONCE, SqlTextTables
from migrations.model.errors import InvalidConfiguration, TextsUnavailable
from migrations.model.texts import SqlRecipe
from tests.services.databases import fresh_database

VARIABLE = "REEMBED_TEXTS_OURS"
QUESTIONS = SqlRecipe(sql=VARIABLE, table="questions", key="id", column="said")
#: Each name is one that only quoting makes a name.
ODD = SqlRecipe(
    sql=VARIABLE, table='odd "table"; --', key="the key", column="said'); DROP TABLE questions"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """A database with a table of questions, which the variable leads to."""
    if request.param == "sqlite":
        path = tmp_path / "texts.db"
        sqlite3.connect(path).close()
        yield from _filled(f"sqlite:///{path}", monkeypatch)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with fresh_database(server) as url:
        yield from _filled(url, monkeypatch)


def _filled(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv(VARIABLE, url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE questions (id INTEGER, said TEXT)"))
        said = [{"id": i, "said": f"text {i}"} for i in range(3)] + [{"id": 9, "said": None}]
        connection.execute(text("INSERT INTO questions VALUES (:id, :said)"), said)
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_texts_come_by_the_key_as_text_and_only_those_that_are_there(engine: Engine) -> None:
    found = SqlTextTables().texts_of(QUESTIONS, [0, 2, 5, 9])
    assert {"0": "text 0", "2": "text 2"} == found


def test_keys_of_another_type_than_the_column_find_their_rows(engine: Engine) -> None:
    tables = SqlTextTables()
    assert {"1": "text 1"} == tables.texts_of(QUESTIONS, ["1", "one", ""])
    run(engine, "CREATE TABLE named (id VARCHAR(10), said TEXT)")
    run(engine, "INSERT INTO named VALUES ('1', 'one'), ('a''b', 'quoted')")
    named = QUESTIONS.model_copy(update={"table": "named"})
    assert {"1": "one", "a'b": "quoted"} == tables.texts_of(named, [1, "a'b"])


def test_more_keys_than_go_into_one_statement_are_all_found(engine: Engine) -> None:
    many = KEYS_AT_ONCE + 5
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM questions"))
        rows = [{"id": i, "said": f"text {i}"} for i in range(many)]
        connection.execute(text("INSERT INTO questions VALUES (:id, :said)"), rows)
    assert {str(i): f"text {i}" for i in range(many)} == SqlTextTables().texts_of(
        QUESTIONS, list(range(many))
    )


def test_names_are_names_whatever_is_in_them(engine: Engine) -> None:
    quote = engine.dialect.identifier_preparer.quote
    table, key, column = map(quote, (ODD.table, ODD.key, ODD.column))
    run(engine, f"CREATE TABLE {table} ({key} INTEGER, {column} TEXT)")
    run(engine, f"INSERT INTO {table} SELECT 1, 'odd'")
    tables = SqlTextTables()
    assert {"1": "odd"} == tables.texts_of(ODD, [1, 2])
    assert {"1": "text 1"} == tables.texts_of(QUESTIONS, [1])


@pytest.mark.parametrize("keys", [[], [1]])
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"table": "nowhere"}, "has no table 'nowhere'"),
        ({"column": "none"}, "has no column 'none'; it has: id, said"),
        ({"key": "none"}, "has no column 'none'"),
    ],
)
def test_what_is_not_there_is_named(
    engine: Engine, changed: dict[str, Any], words: str, keys: list[int]
) -> None:
    with pytest.raises(InvalidConfiguration, match=words) as refusal:
        SqlTextTables().texts_of(QUESTIONS.model_copy(update=changed), keys)
    assert_says_no_address(refusal.value, engine)


def test_a_column_that_is_dropped_later_is_refused_and_one_that_is_added_is_read(
    engine: Engine,
) -> None:
    tables = SqlTextTables()
    added = QUESTIONS.model_copy(update={"column": "added"})
    with pytest.raises(InvalidConfiguration):
        tables.texts_of(added, [1])
    run(engine, "ALTER TABLE questions ADD COLUMN added TEXT", "UPDATE questions SET added = 'new'")
    assert {"1": "new"} == tables.texts_of(added, [1])


def test_a_key_that_stands_twice_is_refused(engine: Engine) -> None:
    run(engine, "INSERT INTO questions VALUES (1, 'another')")
    with pytest.raises(InvalidConfiguration, match="'id' holds a value more than once"):
        SqlTextTables().texts_of(QUESTIONS, [1])


def test_a_view_is_a_table(engine: Engine) -> None:
    run(engine, "CREATE VIEW with_a_sign AS SELECT id, 'Q: ' || said AS said FROM questions")
    view = QUESTIONS.model_copy(update={"table": "with_a_sign"})
    assert {"1": "Q: text 1"} == SqlTextTables().texts_of(view, [1])


# --- where the engine makes no difference, or is PostgreSQL ---------------------------


def test_tables_in_other_schemas_keys_of_other_types_and_rights(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = UUID(int=7)
    with fresh_database(postgres_server) as url:
        monkeypatch.setenv(VARIABLE, url)
        engine = create_engine(url)
        run(engine, "CREATE SCHEMA more", "CREATE TABLE more.docs (id uuid, said text, b bytea)")
        with engine.begin() as connection:
            filled = text("INSERT INTO more.docs VALUES (:id, 'by uuid', 'x')")
            connection.execute(filled, {"id": known})
        docs = SqlRecipe(sql=VARIABLE, table="docs", table_schema="more", key="id", column="said")
        tables = SqlTextTables()
        assert {str(known): "by uuid"} == tables.texts_of(docs, [str(known)])
        with pytest.raises(InvalidConfiguration, match="in the schema 'less'"):
            tables.texts_of(docs.model_copy(update={"table_schema": "less"}), [])
        with pytest.raises(InvalidConfiguration, match="holds bytes, not text"):
            tables.texts_of(docs.model_copy(update={"column": "b"}), [str(known)])
        role = f"{make_url(url).database}_reader"
        run(engine, f"CREATE ROLE {role}", f"GRANT USAGE ON SCHEMA more TO {role}")
        try:
            as_role = make_url(url).update_query_dict({"options": f"-c role={role}"})
            monkeypatch.setenv(VARIABLE, as_role.render_as_string(hide_password=False))
            with pytest.raises(InvalidConfiguration, match="cannot be read") as refusal:
                SqlTextTables().texts_of(docs, [str(known)])
            assert_says_no_address(refusal.value, engine)
        finally:
            run(engine, f"REVOKE ALL ON SCHEMA more FROM {role}", f"DROP ROLE {role}")
            engine.dispose()


@pytest.mark.parametrize(
    "address",
    ["", "  ", "no address", "nodialect://u:secret@host/x", "mysql+pymysql://u:secret@host/x"],
)
def test_an_address_that_is_none_is_refused_and_not_said(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(InvalidConfiguration, match=VARIABLE) as refusal:
        SqlTextTables().texts_of(QUESTIONS, [])
    assert "secret" not in everything_said(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_missing_sqlite_file_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(InvalidConfiguration, match="SQLite file"):
        SqlTextTables().texts_of(QUESTIONS, [])
    assert [] == list(tmp_path.iterdir())


def test_a_database_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql://someone:secret@127.0.0.1:1/none")
    with pytest.raises(TextsUnavailable, match="does not answer") as error:
        SqlTextTables().texts_of(QUESTIONS, [1])
    said = everything_said(error.value)
    assert "secret" not in said
    assert "127.0.0.1" not in said


def everything_said(error: BaseException) -> str:
    return f"{error} {error.__cause__}"


def assert_says_no_address(error: BaseException, engine: Engine) -> None:
    assert str(engine.url.database) not in everything_said(error)
