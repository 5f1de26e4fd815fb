"""The embedded servers: on loopback only, and today's data is there tomorrow."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
from pymilvus import MilvusClient

from devstack.child import Child
from devstack.milvus_lite import MilvusLiteServer
from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.milvus_standalone_main import SESSIONS
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from devstack.server import LOOPBACK, Server
from devstack.stack import DataInUse, EmbeddedStack, holder
from migrations.settings import get_settings


def listens_on_loopback_only(server: Server) -> bool:
    """Whether the server's processes accept connections, and none from elsewhere."""
    assert server.pid is not None
    process = psutil.Process(server.pid)
    family = {process.pid, *(child.pid for child in process.children(recursive=True))}
    addresses = {
        ip_address(connection.laddr.ip.removeprefix("::ffff:"))  # gRPC's way to say IPv4
        for connection in psutil.net_connections("inet")
        if connection.pid in family and connection.status == psutil.CONN_LISTEN
    }
    return bool(addresses) and all(address.is_loopback for address in addresses)


def remember_in_redis(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "kept")


def recall_from_redis(server: RedisServer) -> bool:
    with redis.Redis.from_url(server.url) as client:
        return client.get("key") == b"kept"


def remember_in_postgres(server: PostgresServer) -> None:
    connection = server.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept ()")
    connection.close()


def recall_from_postgres(server: PostgresServer) -> bool:
    connection = server.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('kept') IS NOT NULL")
        found = cursor.fetchone()
    connection.close()
    return found == (True,)


def remember_in_milvus(server: Server) -> None:
    client = MilvusClient(uri=server.url)
    client.create_collection("kept", dimension=4)
    client.upsert("kept", [{"id": 1, "vector": [1.0, 2.0, 3.0, 4.0]}])
    client.close()


def recall_from_milvus(server: Server) -> bool:
    client = MilvusClient(uri=server.url)
    client.load_collection("kept")
    rows = client.get("kept", ids=[1])
    client.close()
    return [1] == [row["id"] for row in rows]


KINDS = {
    "redis": (RedisServer, remember_in_redis, recall_from_redis),
    "postgres": (PostgresServer, remember_in_postgres, recall_from_postgres),
    "milvus-lite": (MilvusLiteServer, remember_in_milvus, recall_from_milvus),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_data_is_there_after_a_crash_and_after_a_stop(kind: str, tmp_path: Path) -> None:
    make, remember, recall = KINDS[kind]
    first = make(tmp_path / kind)
    first.start()
    remember(first)
    for end in (Server.kill, Server.stop):
        end(first)
        assert (None, False) == (first.pid, first.healthy())
        first = make(tmp_path / kind)
        first.start()
        assert recall(first)
    first.stop()


def test_a_server_started_again_is_found_under_the_same_url(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    url = server.url
    server.kill()
    server.start()
    assert (url, True) == (server.url, server.healthy())
    server.stop()


def test_no_embedded_server_listens_beyond_loopback(
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_lite_server: MilvusLiteServer,
) -> None:
    servers = (redis_server, postgres_server, milvus_lite_server)
    assert [True] * 3 == [listens_on_loopback_only(server) for server in servers]


def test_milvus_standalone_is_alone_in_its_network_and_leaves_nothing_outside_its_folder(
    tmp_path: Path,
) -> None:
    server = MilvusStandaloneServer(tmp_path / "milvus")
    server.start()
    assert server.pid is not None
    launcher = psutil.Process(server.pid)
    (milvus,) = launcher.children()
    ours, theirs = (Path(f"/proc/{pid}/ns/net").readlink() for pid in (os.getpid(), milvus.pid))
    assert ours != theirs
    listeners = [
        connection.laddr
        for connection in psutil.net_connections("tcp")
        if connection.pid == launcher.pid and connection.status == psutil.CONN_LISTEN
    ]
    assert [(LOOPBACK, server.port)] == listeners

    session_file = SESSIONS / f"server_id_{milvus.pid}"
    assert session_file.exists()
    server.stop()
    assert (False, False) == (session_file.exists(), milvus.is_running())


def test_postgres_starts_although_its_lock_file_names_a_living_process(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    server.start()
    # Of the server's own user, and no relative: PostgreSQL believes only such a one.
    user = psutil.Process(server.pid).uids().real if os.geteuid() == 0 else None
    bystander = Child("bystander", tmp_path / "log", uid=user)
    bystander.start(["/bin/sleep", "60"])
    server.kill()
    lock = tmp_path / "postgres" / "cluster" / "postmaster.pid"
    lock.write_text("\n".join([str(bystander.pid), *lock.read_text().splitlines()[1:]]))
    server.start()
    assert server.healthy()
    server.stop()
    bystander.kill()


def test_postgres_starts_again_although_its_making_was_cut_short(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "unfinished" / "base").mkdir(parents=True)
    (tmp_path / "postgres" / "cluster").mkdir()
    server = PostgresServer(tmp_path / "postgres")
    server.start()
    assert server.healthy()
    server.stop()


def test_postgres_asks_for_its_password(postgres_server: PostgresServer) -> None:
    wrong = postgres_server.url.replace("+psycopg2", "").replace("reembed:", "reembed:x", 1)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)


class Bare(EmbeddedStack):
    """Without servers: the lock on the folder is all there is."""

    servers = ()


def test_two_stacks_do_not_share_a_folder(tmp_path: Path) -> None:
    with Bare(tmp_path / "data"):
        with pytest.raises(DataInUse):
            Bare(tmp_path / "data").start()
        assert os.getpid() == holder(tmp_path / "data")
    assert holder(tmp_path / "data") is None


def test_nothing_of_a_users_env_file_reaches_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer
) -> None:
    (tmp_path / ".env").write_text("REEMBED_MILVUS_TOKEN=theirs\nREEMBED_WAVE_SIZE=7\n")
    monkeypatch.chdir(tmp_path)
    stack = EmbeddedStack(tmp_path / "data")
    stack.postgres = postgres_server  # its password is known once it was made
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    settings = get_settings()
    assert (None, 64) == (settings.milvus_token, settings.wave_size)
    assert stack.milvus.url == settings.milvus_uri
