"""What goes wrong in the night: each is planted in a system at work, and taken back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
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
    """``plant`` gives variables that whoever looks takes instead; ``words`` have to be said."""

    name: str
    plant: Plant
    words: str
    #: What the run is asked for besides.
    wish: Mapping[str, object] = field(default_factory=dict)


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


class _Configured(MilvusStandaloneServer):
    """One of whose settings is another."""

    setting: tuple[str, str]

    def launch(self) -> None:
        name, value = self.setting
        os.environ[name] = value
        try:
            super().launch()
        finally:
            del os.environ[name]


class NeverIndexing(_Configured):
    """Who builds its indexes has hands for none."""

    name = "milvus-never-indexing"
    setting = ("INDEXNODE_SCHEDULER_BUILDPARALLEL", "0")


class _Guarded(_Configured):
    """Asks for a password, so nobody without one is told that it is healthy."""

    name = "milvus-guarded"
    setting = ("COMMON_SECURITY_AUTHORIZATIONENABLED", "true")

    def healthy(self) -> bool:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        try:
            client = MilvusClient(self.url, token="root:Milvus", timeout=3)
            client.list_collections()
        except MilvusException:
            return False
        return True


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


@contextmanager
def indexing(ground: Ground) -> Iterator[dict[str, str]]:
    """The run has come to the index that is never built."""
    until = time.monotonic() + 240
    while not ground.oracle.select("SELECT 1 FROM migrations WHERE phase = 'verification'"):
        if time.monotonic() > until:
            raise TimeoutError("the run has not come to its index")
        time.sleep(0.2)
    yield {}


FAULTS = (
    Fault("no workers", no_workers, "No worker is alive"),
    Fault("Redis frozen", frozen("redis"), "Redis cannot be asked"),
    Fault("Milvus frozen", frozen("milvus"), "Milvus cannot be asked"),
    Fault("wrong Milvus password", wrong_password, "Milvus refuses the login"),
    Fault("provider refuses for a minute", misbehaving("rate_limited"), "asks to slow down"),
    Fault("quota gone", misbehaving("insufficient_quota"), "no credit"),
    Fault("disk of Redis full", disk_full, "takes no writes"),
    Fault("clock off", late_worker, "clock of a worker's host is"),
    Fault("the only batch worker killed", killed, "No worker that is alive takes batches"),
    Fault("Redis evicts", evicting, "may evict keys"),
    Fault("expired token", expired_token, "expired"),
)
#: In a system of its own, whose Milvus is :class:`NeverIndexing`. FLAT is built by nobody anyway.
HNSW = {"index_type": "HNSW", "params": {"M": 8, "efConstruction": 64}}
STUCK_INDEX = Fault(
    "stuck index", indexing, "index is being built", {"index": HNSW, "batch_size": 100}
)
