"""The doctor on real parts, and on the command line that works while the API is down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pymilvus import MilvusClient
from redis import Redis
from sqlalchemy import create_engine, text

from devstack.milvus_lite import MilvusLiteServer
from migrations.adapters.milvus.privileges import SCRATCH
from migrations.model.release import release
from migrations.model.workers import ALL_QUEUES, WorkerNote
from migrations.store import SqlMigrationStore
from tests.contract.volatile_redis import VolatileRedis, volatile_redis
from worker.commands import reembed


@pytest.fixture
def volatile(tmp_path: Path) -> Iterator[VolatileRedis]:
    with volatile_redis(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def environment(
    database_url: str,
    volatile: VolatileRedis,
    milvus_lite_server: MilvusLiteServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REEMBED_ENV_FILE", "")
    monkeypatch.setenv("REEMBED_DATABASE_URL", database_url)
    monkeypatch.setenv("REEMBED_REDIS_URL", volatile.url)
    monkeypatch.setenv("REEMBED_MILVUS_URI", milvus_lite_server.url)


def doctor() -> Result:
    return CliRunner().invoke(reembed, ["doctor"])


def test_everything_that_is_wrong_with_real_parts_is_named(
    database_url: str, volatile: VolatileRedis, milvus_lite_server: MilvusLiteServer
) -> None:
    with Redis.from_url(volatile.url) as client:
        client.config_set("maxmemory", "500mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    store = SqlMigrationStore(database_url)
    note = WorkerNote("w", "all@here", "here", 1, ALL_QUEUES[:-1], "0.0.1", store.now())
    store.note_worker(note)
    found = doctor()
    for code in ("queue-unread", "versions-differ", "redis-evicts", "redis-forgets"):
        assert f"({code})" in found.output, found.output
    assert "well     milvus: It answers." in found.output
    assert "well     privileges: All " in found.output
    assert 1 == found.exit_code
    left = MilvusClient(milvus_lite_server.url).list_collections()
    assert [] == [name for name in left if name.startswith(SCRATCH)]


def test_warnings_alone_end_with_5_and_nothing_wrong_with_0(
    database_url: str, volatile: VolatileRedis
) -> None:
    store = SqlMigrationStore(database_url)
    store.note_worker(WorkerNote("w", "all@here", "here", 1, ALL_QUEUES, release(), store.now()))
    found = doctor()
    assert (5, True) == (found.exit_code, "(redis-forgets)" in found.output), found.output
    with Redis.from_url(volatile.url) as client:
        client.config_set("appendonly", "yes")
    found = doctor()
    assert 0 == found.exit_code, found.output


def test_a_schema_of_before_a_redis_and_a_milvus_that_are_gone_are_named(
    database_url: str, volatile: VolatileRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REEMBED_MILVUS_URI", "http://127.0.0.1:1")
    volatile.stop()
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_revision SET version_num = '0019'"))
    engine.dispose()
    found = doctor()
    for code in ("schema-behind", "redis-away", "milvus-away"):
        assert f"({code})" in found.output, found.output
    assert 1 == found.exit_code
