"""Schema revisions: up, down, up; and the tables they make are the ones the records describe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from devstack.postgres import PostgresServer
from migrations.store.records import Record
from migrations.store.revisions import downgrade, upgrade
from tests.services.databases import fresh_database

TABLES = {
    "bots",
    "conflicts",
    "failed_chunks",
    "frozen_parts",
    "held_collections",
    "migration_events",
}
TABLES |= {"migrations", "outbox", "spend", "tokens", "written_rows"}
VERSION_TABLE = "schema_revision"
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> :version"
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    AND contype <> 'n' AND conrelid::regclass::text <> :version
"""
COLUMNS = """
    SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, is_identity
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> :version
"""


def tables(url: str) -> set[str]:
    engine = create_engine(url)
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found


def described(engine: Engine) -> dict[str, set[Any]]:
    """Every column, constraint and index, in PostgreSQL's own words."""
    with engine.connect() as connection:
        return {
            query: {
                tuple(row) for row in connection.execute(text(query), {"version": VERSION_TABLE})
            }
            for query in (INDEXES, CONSTRAINTS, COLUMNS)
        }


def test_revisions_go_up_and_down_and_up_again(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    assert {*TABLES, VERSION_TABLE} == tables(empty_database_url)
    downgrade(empty_database_url, "base")
    assert {VERSION_TABLE} == tables(empty_database_url)
    upgrade(empty_database_url)
    upgrade(empty_database_url)
    assert {*TABLES, VERSION_TABLE} == tables(empty_database_url)


def test_autogenerate_finds_nothing_to_add_to_the_revisions(database_url: str) -> None:
    engine = create_engine(database_url)
    options = {"version_table": VERSION_TABLE, "compare_type": True}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert [] == compare_metadata(context, Record.metadata)
    engine.dispose()


def test_revisions_and_records_make_the_same_checks_indexes_and_defaults(
    database_url: str, postgres_server: PostgresServer
) -> None:
    """What autogenerate does not compare: check constraints, partial indexes, names."""
    revised = create_engine(database_url)
    with fresh_database(postgres_server) as url:
        recorded = create_engine(url)
        Record.metadata.create_all(recorded)
        assert described(recorded) == described(revised)
        recorded.dispose()
    revised.dispose()


def test_threads_that_upgrade_at_once_make_one_schema(empty_database_url: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(upgrade, [empty_database_url] * 3))
    assert {*TABLES, VERSION_TABLE} == tables(empty_database_url)


def test_processes_that_upgrade_at_once_make_one_schema(empty_database_url: str) -> None:
    context = get_context("fork")
    starting = [context.Process(target=upgrade, args=(empty_database_url,)) for _ in range(3)]
    for process in starting:
        process.start()
    for process in starting:
        process.join(60)
    assert [0, 0, 0] == [process.exitcode for process in starting]
    assert {*TABLES, VERSION_TABLE} == tables(empty_database_url)


def spent(url: str) -> list[tuple[Any, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        wanted = (
            "SELECT provider, model, purpose, sum(tokens) FROM spend GROUP BY 1, 2, 3 ORDER BY 3"
        )
        found = [tuple(row) for row in connection.execute(text(wanted))]
    engine.dispose()
    return found


def test_what_was_spent_is_kept_when_it_is_added_up_and_on_the_way_back(
    empty_database_url: str,
) -> None:
    upgrade(empty_database_url, "0002")
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text(PAID))
    engine.dispose()
    sums = [("openai", "large", "batch", 2**40 + 5), ("openai", "large", "catch_up", 7)]
    assert sums == spent(empty_database_url)
    upgrade(empty_database_url)
    assert sums == spent(empty_database_url)
    downgrade(empty_database_url, "0002")
    assert sums == spent(empty_database_url)


#: A migration with nothing but an id, and what it has paid.
PAID = """
DO $$
DECLARE needed text;
BEGIN
    FOR needed IN SELECT column_name FROM information_schema.columns
        WHERE table_name = 'migrations' AND is_nullable = 'NO' AND column_name <> 'id'
    LOOP
        EXECUTE format('ALTER TABLE migrations ALTER COLUMN %I DROP NOT NULL', needed);
    END LOOP;
END $$;
INSERT INTO migrations (id) VALUES ('00000000-0000-0000-0000-000000000001');
INSERT INTO spend (migration_id, provider, model, purpose, tokens)
    SELECT id, 'openai', 'large', purpose, tokens FROM migrations,
        (VALUES ('batch', 1099511627776), ('batch', 5), ('catch_up', 7)) AS paid (purpose, tokens)
"""
