"""Schema revisions: up, down, up; and the tables they make are the ones the records describe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, Executable, create_engine, inspect, select, text, update

from devstack.postgres import PostgresServer
from migrations.model.errors import StateStoreUnavailable
from migrations.model.left_behind import End
from migrations.model.runs import Due
from migrations.model.states import Status
from migrations.store import SqlMigrationStore
from migrations.store.records import BotRecord, KeptRecord, MigrationRecord, Record
from migrations.store.revisions import downgrade, upgrade
from tests.contract.state_store_world import ONCE, SWEEPS, World
from tests.services.databases import fresh_database

TABLES = {
    "bots",
    "conflicts",
    "deliveries",
    "due",
    "embedded_texts",
    "errand_spend",
    "failed_chunks",
    "frozen_parts",
    "golden_queries",
    "grants",
    "held_collections",
    "migration_events",
}
TABLES |= {"key_intents", "key_maps", "key_pairs"}
TABLES |= {"journals", "journal_entries", "journal_requests"}
TABLES |= {"migrations", "outbox", "rounds", "spend", "tokens", "trail", "written_rows"}
TABLES |= {"workers"}
VERSION_TABLE = "schema_revision"
BEFORE_NARROW_ROLES = "0024-1"
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


def test_a_database_of_before_is_told_from_one_of_now_and_of_later(empty_database_url: str) -> None:
    store = SqlMigrationStore(empty_database_url)
    with pytest.raises(StateStoreUnavailable):
        store.schema()
    upgrade(empty_database_url, "0001")
    before = store.schema()
    assert ("0001", True) == (before.at, before.is_behind)
    upgrade(empty_database_url)
    now = store.schema()
    assert (now.newest, True, False) == (now.at, now.is_known, now.is_behind)
    execute(empty_database_url, text("UPDATE schema_revision SET version_num = 'x'"))
    later = store.schema()
    assert (False, False) == (later.is_known, later.is_behind)
    store.close()


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


def test_what_was_due_is_due_in_one_table_and_on_the_way_back(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    store, state = a_state(empty_database_url)
    swept, waiting, never, retiring = (state.reach(Status.COMPLETED) for _ in range(4))
    undone = state.reach(Status.ROLLED_BACK)
    assert store.keep_target(undone.id, 5, 0)
    downgrade(empty_database_url, "0004")
    now = datetime.now(UTC)
    past, future = now - timedelta(minutes=1), now + timedelta(minutes=1)
    row, of_bot = MigrationRecord, BotRecord.bot_id == retiring.bot_id
    execute(
        empty_database_url,
        update(row).values(finished_at=past, sweep_at=future, sweeps=2),
        update(row).where(row.id == swept.id).values(sweep_at=past),
        update(row).where(row.id == never.id).values(sweep_at=None, sweeps=0),
        update(row).where(row.id == retiring.id).values(retire_at=past, retirings=1),
        update(BotRecord).where(of_bot).values(previous_expires_at=past),
        update(KeptRecord).values(drop_at=past, drops=4),
    )
    upgrade(empty_database_url)
    assert {swept.id, never.id} == set(store.claim_due(Due.SWEEP, SWEEPS))
    assert [retiring.id] == store.claim_due(Due.RETIRE, ONCE)
    assert [undone.id] == store.claim_due(Due.DROP, ONCE)
    sent = {(one.id, state.messages(one)[-1].get("number")) for one in (swept, never, undone)}
    assert {(swept.id, 3), (never.id, 1), (undone.id, 5)} == sent
    store.close()
    downgrade(empty_database_url, "0004")
    was_swept = select(row.sweeps).where(row.sweep_at > now)
    for one, sweeps in ((swept, 3), (waiting, 2), (never, 1)):
        assert [(sweeps,)] == execute(empty_database_url, was_swept.where(row.id == one.id))
    was_tried = select(row.retirings).where(row.retire_at > now, row.id == retiring.id)
    assert [(2,)] == execute(empty_database_url, was_tried)
    was_tried = select(KeptRecord.drops).where(KeptRecord.drop_at > now)
    assert [(5,)] == execute(empty_database_url, was_tried)


def test_the_metric_of_bots_of_before_is_taken_from_a_backup(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    store, state = a_state(empty_database_url)
    told, silent = state.reach(Status.COMPLETED), state.reach(Status.COMPLETED)
    backup = {
        "collection_schema": {
            "indexes": [
                {"field_name": "other", "params": {"metric_type": "IP"}},
                {"field_name": "vector", "params": {"metric_type": "L2"}},
            ]
        }
    }
    row = MigrationRecord
    execute(empty_database_url, update(row).where(row.id == told.id).values(rollback_info=backup))
    downgrade(empty_database_url, "0014")
    upgrade(empty_database_url)
    found = [store.bot(one.bot_id).metric for one in (told, silent)]
    store.close()
    assert ["L2", None] == found


def test_originals_that_are_kept_stay_from_the_revision_on_and_are_forgotten_on_the_way_back(
    empty_database_url: str,
) -> None:
    upgrade(empty_database_url)
    store, state = a_state(empty_database_url)
    of_before, of_now = (state.reach(Status.COMPLETED) for _ in range(2))
    undone = state.reach(Status.ROLLED_BACK)
    assert store.keep_target(undone.id, 5, 0)
    has_previous = BotRecord.previous_collection.is_not(None)
    closed = update(BotRecord).where(has_previous).values(previous_expires_at=datetime.now(UTC))
    execute(empty_database_url, closed)
    assert store.retire(of_before.id, 7, "ab", 0)
    downgrade(empty_database_url, "0006")
    upgrade(empty_database_url)
    assert not store.bot(of_before.bot_id).drop_originals
    assert {of_before.id, undone.id} == set(store.claim_due(Due.DROP, ONCE))
    assert store.retire(of_now.id, None, None, 0)
    for one in (of_before, of_now):
        with store.lock_kept(one.source_collection, End.DROPPED) as may_drop:
            assert not may_drop
        with store.lock_kept(one.source_collection, End.RELEASED) as may_release:
            assert may_release
    store.close()
    downgrade(empty_database_url, "0006")
    held = execute(empty_database_url, select(KeptRecord.collection))
    assert [(undone.target_collection,)] == held


def a_state(url: str) -> tuple[SqlMigrationStore, World]:
    store = SqlMigrationStore(url)
    return store, World(store, pass_time=lambda _: None, raise_generation=lambda _: None)


def execute(url: str, *statements: Executable) -> list[tuple[Any, ...]]:
    """What the last of them finds."""
    engine = create_engine(url)
    with engine.begin() as connection:
        found = [connection.execute(statement) for statement in statements][-1]
        rows = [tuple(row) for row in found] if found.returns_rows else []
    engine.dispose()
    return rows


def test_tokens_of_narrow_roles_end_on_the_way_back(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO tokens (name, owner, role, digest) VALUES"
                " ('a', 'me', 'query', 'a'), ('b', 'me', 'read', 'b'), ('c', 'me', 'user', 'c')"
            )
        )
    downgrade(empty_database_url, BEFORE_NARROW_ROLES)
    found = "SELECT role, revoked_at IS NOT NULL FROM tokens ORDER BY digest"
    with engine.connect() as connection:
        assert [("user", True), ("user", True), ("user", False)] == [
            tuple(row) for row in connection.execute(text(found))
        ]
    engine.dispose()
