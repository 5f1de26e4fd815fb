"""What goes wrong in the night: each is planted in a system at work, and taken back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.processes import Processes
from devstack.server import free_port
from tests.harness.ground import Ground
from tests.harness.tcp_proxy import TcpProxy
from tests.harness.world import write_procfile

#: A worker that believes it is an hour later, whatever its host says.
_AN_HOUR_LATER = """
import sys
from datetime import UTC, datetime, timedelta
from migrations.adapters import clock
clock.SystemClock.here = lambda _: datetime.now(UTC) + timedelta(hours=1)
from celery.bin.celery import celery
sys.argv = ["celery", "-A", "worker", "worker", "--hostname", "late@night", "--pool", "threads",
    "--concurrency", "1", "--queues", "migrations.control", "--without-gossip", "--without-mingle"]
celery()
"""

Plant = Callable[[Ground], AbstractContextManager[dict[str, str]]]


@dataclass(frozen=True)
class Fault:
    """``plant`` gives variables that whoever looks takes instead; ``words``: one has to be said."""

    name: str
    plant: Plant
    words: tuple[str, ...]
    #: Whether the run is at work when it happens.
    while_moving: bool = True


@contextmanager
def no_workers(ground: Ground) -> Iterator[dict[str, str]]:
    names = ground.workers_running()
    ground.processes.stop(names)
    yield {}
    ground.processes.start(names)


@contextmanager
def killed(ground: Ground) -> Iterator[dict[str, str]]:
    for name in ground.pids("batch"):
        ground.kill(name)
    yield {}
    ground.revive()


def frozen(name: str) -> Plant:
    @contextmanager
    def plant(ground: Ground) -> Iterator[dict[str, str]]:
        assert ground.wires is not None
        wire: TcpProxy = getattr(ground.wires, name)
        wire.stall()
        yield {}
        wire.restore()

    return plant


def misbehaving(kind: str, **how: object) -> Plant:
    @contextmanager
    def plant(ground: Ground) -> Iterator[dict[str, str]]:
        ground.provider.misbehave(kind, **how)
        yield {}
        ground.provider.behave()
        ground.forget_limits()

    return plant


@contextmanager
def disk_full(ground: Ground) -> Iterator[dict[str, str]]:
    """Redis cannot save: where its snapshot would go is a folder."""
    client = Redis.from_url(ground.servers.redis_url, decode_responses=True)
    folder = Path(str(client.config_get("dir")["dir"]))
    before = client.config_get("*")
    (folder / "no-room").mkdir(exist_ok=True)
    client.config_set("appendonly", "no")
    client.config_set("save", "3600 1")
    client.config_set("dbfilename", "no-room")
    try:
        client.bgsave()
    except RedisError as error:
        print(f"bgsave: {error}")
    yield {}
    client.config_set("dbfilename", before["dbfilename"])
    client.config_set("save", before["save"])
    client.config_set("appendonly", before["appendonly"])
    client.bgsave()
    client.close()


@contextmanager
def evicting(ground: Ground) -> Iterator[dict[str, str]]:
    with Redis.from_url(ground.servers.redis_url) as client:
        client.config_set("maxmemory", "500mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        yield {}
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")


@contextmanager
def late_worker(ground: Ground) -> Iterator[dict[str, str]]:
    worker = subprocess.Popen(
        [sys.executable, "-c", _AN_HOUR_LATER],
        env=ground.environment,
        cwd=ground.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while "late@night" not in str(ground.admin.get("/workers").body):
        if time.monotonic() > deadline:
            raise TimeoutError("the late worker has not come up")
        time.sleep(0.2)
    yield {}
    worker.terminate()
    worker.wait()


@contextmanager
def expired_token(ground: Ground) -> Iterator[dict[str, str]]:
    wish = {"name": "short", "owner": "owner", "expires_in_seconds": 1}
    yield {"REEMBED_TOKEN": ground.admin.post("/tokens", wish).body["token"]}


class _Guarded(MilvusStandaloneServer):
    """Asks for a password, so nobody without one is told that it is healthy."""

    name = "milvus-guarded"

    def start(self) -> None:
        os.environ[_AUTHORIZATION] = "true"
        try:
            super().start()
        finally:
            del os.environ[_AUTHORIZATION]

    def healthy(self) -> bool:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        try:
            client = MilvusClient(self.url, token="root:Milvus", timeout=3)
            client.list_collections()
        except MilvusException:
            return False
        return True


_AUTHORIZATION = "COMMON_SECURITY_AUTHORIZATIONENABLED"


@contextmanager
def wrong_password(ground: Ground) -> Iterator[dict[str, str]]:
    """A second API, with a Milvus that asks for a password and does not get the right one."""
    with ExitStack() as stack:
        server = _Guarded(ground.folder / "guarded")
        server.start()
        stack.callback(server.stop)
        port = str(free_port())
        own = {"REEMBED_MILVUS_URI": server.url, "REEMBED_MILVUS_TOKEN": "root:wrong"}
        environment = {**ground.environment, **own, "REEMBED_PORT": port}
        folder = ground.folder / "second"
        second = Processes(environment, logs=folder, procfile=write_procfile(folder, {}))
        stack.callback(second.stop)
        second.start(["api"])
        second.wait_ready()
        yield {"REEMBED_URL": second.url}


FAULTS = (
    Fault("no workers", no_workers, ("no-worker",)),
    Fault("Redis frozen", frozen("redis"), ("redis-away",)),
    Fault("Milvus frozen", frozen("milvus"), ("milvus-away",)),
    Fault("wrong Milvus password", wrong_password, ("milvus-login",)),
    Fault("provider refuses for a minute", misbehaving("rate_limited"), ("rate limit", "limit")),
    Fault("quota gone", misbehaving("insufficient_quota"), ("no credit",)),
    Fault("disk of Redis full", disk_full, ("redis-refuses-writes",)),
    Fault("clock off", late_worker, ("clock-off",)),
    Fault("the only batch worker killed", killed, ("no-batch-worker",)),
    Fault("Redis evicts", evicting, ("redis-evicts",)),
    Fault("expired token", expired_token, ("not-authenticated", "token")),
)
#: Beside what is planted, in the table too.
NOT_PLANTED = {
    "stuck index": "An index that milvus-lite does not build cannot be made to stand still, and "
    "Milvus 2.3.5 runs as one process. What is said was seen in unit tests: `waiting_for` is "
    '"The target\'s index is being built: 40000 rows to go." and does not change.',
}
