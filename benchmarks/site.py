"""All of reembed at work on servers of its own, to be measured from outside."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import psutil
import redis
from pymilvus import MilvusClient

from benchmarks import source
from benchmarks.processors import Processors, staying_on
from benchmarks.provider import ProviderServer
from benchmarks.runs import Bot
from benchmarks.scale import Engine, Scale
from benchmarks.source import FROM_MODEL, Source
from devstack.client import ApiClient
from devstack.milvus_lite import MilvusLiteServer
from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.postgres import PostgresServer
from devstack.processes import Processes, inherited_environment
from devstack.redis import RedisServer
from devstack.server import PROJECT, Server, free_port
from migrations.adapters.milvus.client import CHANNEL_OPTIONS
from migrations.bootstrap import issue_token, upgrade_schema
from migrations.model.bots import Role
from migrations.settings import Settings

_WORKERS = "celery -A worker worker"
#: Flower is left out: it watches, and a run is the same without it.
_LEFT_OUT = frozenset({"flower"})
#: A server that does no more than this share of a processor is at rest.
_AT_REST = 0.15
_REST_SECONDS = 90.0


class Site:
    """Redis, PostgreSQL, one Milvus, the stub provider, API and workers; a context manager.

    Start it from the main thread: its processes die with the thread that started them.
    """

    def __init__(self, folder: Path, engine: Engine, scale: Scale) -> None:
        self.engine = engine
        self.scale = scale
        self.folder = folder / engine.value
        self._processors = Processors.divided() if scale.apart else Processors.shared()
        self.redis_server = RedisServer(self.folder / "redis")
        self.postgres = PostgresServer(self.folder / "postgres")
        self.milvus_server: Server = (
            MilvusLiteServer(self.folder / "milvus")
            if engine is Engine.LITE
            else MilvusStandaloneServer(self.folder / "milvus", folder / "programs")
        )
        self.provider = ProviderServer(self.folder / "provider")
        self._sources: dict[tuple[int, int, int], Source] = {}
        self._processes: Processes | None = None

    def __enter__(self) -> Self:
        others = (self.redis_server, self.postgres, self.provider)
        with ExitStack() as stack:
            stack.enter_context(staying_on(self._processors.others))
            for server in others:
                stack.callback(server.stop)
                server.launch()
            stack.callback(self.milvus_server.stop)
            with staying_on(self._processors.busy):
                self.milvus_server.start()
            for server in others:
                server.wait_healthy()
            self.redis = stack.enter_context(redis.Redis.from_url(self.redis_server.url))
            self.milvus = MilvusClient(
                uri=self.milvus_server.url,
                timeout=source.TIMEOUT_SECONDS,
                dedicated=True,
                grpc_options=CHANNEL_OPTIONS,
            )
            stack.callback(self.milvus.close)
            self._prepare()
            stack.callback(self._stop_processes)
            self._start_processes()
            self._assert_on_their_processors()
            self._leaving = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving.__exit__(kind, error, traceback)

    def _prepare(self) -> None:
        self.port = free_port()
        self._settings = Settings(
            _env_file=None,
            database_url=self.postgres.url,
            redis_url=self.redis_server.url,
            milvus_uri=self.milvus_server.url,
        )
        upgrade_schema(self._settings)
        self.token = self.token_of("bench")
        self.api = ApiClient(self.url, self.token)

    def token_of(self, owner: str) -> str:
        """A new one, of an admin."""
        return issue_token(self._settings, f"{owner}-{uuid4().hex[:8]}", owner, Role.ADMIN)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- processes ------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """That of all its processes."""
        own = {
            "REEMBED_DATABASE_URL": self.postgres.url,
            "REEMBED_REDIS_URL": self.redis_server.url,
            "REEMBED_MILVUS_URI": self.milvus_server.url,
            "REEMBED_OPENAI_BASE_URL": self.provider.url,
            "REEMBED_PORT": str(self.port),
            "REEMBED_ENV_FILE": "",
            # Counted as anybody's are, and never refused.
            "REEMBED_REQUESTS_PER_MINUTE": "1000000000",
            "REEMBED_MAX_MIGRATIONS_PER_OWNER": "3",
            # With few rows the stub's models see little alike.
            "REEMBED_GATES": '{"neighbourhood_overlap": 0}',
            "REEMBED_MAX_TIMEOUT_SECONDS": str(30 * 24 * 3600),
            "OPENAI_API_KEY": "sk-of-the-stub",
            "REEMBED_SECRET_KEY": "of the benchmarks' page",
            # The processes run beside a Procfile of their own, not in the project.
            "PYTHONPATH": str(PROJECT),
        }
        if self.scale.batch_threads is not None:
            own["REEMBED_BATCH_CONCURRENCY"] = str(self.scale.batch_threads)
        return inherited_environment() | own

    def script_environment(self) -> dict[str, str]:
        """What a user would have exported before running a script."""
        where = {"OPENAI_BASE_URL": self.provider.url, "OPENAI_API_KEY": "sk-of-the-stub"}
        return inherited_environment() | where

    def _start_processes(self, batch_application: str = "worker") -> None:
        self._batch_application = batch_application
        procfile = self.folder / "Procfile"
        procfile.write_text("\n".join([*self._commands(batch_application), ""]))
        logs = self.folder / "logs"
        self._processes = Processes(self.environment(), logs=logs, procfile=procfile)
        batch = self._workers("batch")
        with staying_on(self._processors.busy):
            self._processes.start(batch)
        self._processes.start(name for name in self._processes.names if name not in batch)
        self._processes.wait_ready()

    def _commands(self, batch_application: str) -> list[str]:
        """The project's Procfile with as many workers of batches as asked for."""
        lines: list[str] = []
        for line in (PROJECT / "Procfile").read_text().splitlines():
            name, _, command = line.partition(":")
            if name != "batch":
                lines += [] if name in _LEFT_OUT else [line]
                continue
            command = command.replace(_WORKERS, f"celery -A {batch_application} worker")
            command = command.replace("--pool threads", f"--pool {self.scale.pool}")
            for number in range(1, self.scale.batch_workers + 1):
                hostname = f"--hostname batch{number}@"
                lines.append(f"batch{number}:{command.replace('--hostname batch@', hostname)}")
        return lines

    def _stop_processes(self) -> None:
        if self._processes is not None:
            self._processes.stop()
            self._processes = None

    def worker_pids(self, kind: str) -> list[int]:
        """Of the workers called ``kind`` and a number, with the children of their pools."""
        assert self._processes is not None
        found: list[int] = []
        for name in self._workers(kind):
            pid = self._processes.pid(name)
            assert pid is not None, f"{name} has ended"
            found += [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        return found

    def _workers(self, kind: str) -> list[str]:
        assert self._processes is not None
        return [name for name in self._processes.names if name.rstrip("0123456789") == kind]

    def _assert_on_their_processors(self) -> None:
        """Or figures of a divided machine would be of an undivided one, and nobody would know."""
        busy = [self.milvus_server.pid, *self.worker_pids("batch")]
        others = [self.postgres.pid, self.redis_server.pid, *self.worker_pids("control")]
        for pids, where in ((busy, self._processors.busy), (others, self._processors.others)):
            assert all(os.sched_getaffinity(pid) == where for pid in pids if pid), (pids, where)

    # --- between measurements -------------------------------------------------------

    def renew(self, batch_application: str = "worker") -> None:
        """New processes and an empty memory: nothing learned, nothing left over."""
        restart = self.scale.fresh_workers or batch_application != self._batch_application
        if restart:
            self._stop_processes()
        self.clear()
        self.provider.reset()
        if restart:
            # Not while workers run: the broker's bindings are in it.
            self.redis.flushall()
            self._start_processes(batch_application)

    def clear(self) -> None:
        """Forget every bot and migration, drop what they made, wait until the engine rests."""
        with self.postgres.connect() as connection, connection.cursor() as cursor:
            cursor.execute("TRUNCATE bots, migrations CASCADE")
        connection.close()
        kept = {made.name for made in self._sources.values()}
        for name in set(self.milvus.list_collections(timeout=source.TIMEOUT_SECONDS)) - kept:
            source.drop(self.milvus, name)
        for name in kept:
            self._drop_aliases(name)
        self.rest()

    def _drop_aliases(self, name: str) -> None:
        found = self.milvus.list_aliases(name, timeout=source.TIMEOUT_SECONDS)
        for alias in found["aliases"] if isinstance(found, dict) else found:
            self.milvus.drop_alias(alias, timeout=source.TIMEOUT_SECONDS)

    def rest(self) -> None:
        """Wait, within reason, until Milvus has done what it does after the fact."""
        deadline = time.monotonic() + _REST_SECONDS
        while time.monotonic() < deadline and self._load_of_milvus(0.5) > _AT_REST:
            pass

    def _load_of_milvus(self, seconds: float) -> float:
        before = self._processor_seconds_of_milvus()
        time.sleep(seconds)
        return (self._processor_seconds_of_milvus() - before) / seconds

    def _processor_seconds_of_milvus(self) -> float:
        parent = psutil.Process(self.milvus_server.pid)
        times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    # --- what is moved --------------------------------------------------------------

    def source(self, chunks: int, dimension: int, copy: int = 0) -> Source:
        """A collection of so many chunks, made at the first call and kept unchanged."""
        wanted = (chunks, dimension, copy)
        if wanted not in self._sources:
            name = f"bench_{dimension}_{chunks}_{copy}"
            self._sources[wanted] = source.make(self.milvus, name, chunks, dimension)
        return self._sources[wanted]

    def bot(self, made: Source) -> Bot:
        """A bot that answers from the source; one at a time for each source."""
        bot_id = f"bot-{uuid4().hex[:12]}"
        alias = f"{made.name}_live_{bot_id[4:]}"
        wish = {
            "bot_id": bot_id,
            "collection": made.name,
            "alias": alias,
            "text_field": "text",
            "provider": "openai",
            "model": FROM_MODEL,
            "dimension": made.dimension,
        }
        answer = self.api.post("/bots", wish)
        assert answer.status == 201, answer.body
        return Bot(self.api, bot_id, alias, made)

    # --- what PostgreSQL knows --------------------------------------------------------

    def select(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.postgres.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            found = list(cursor.fetchall())
        connection.close()
        return found

    def events(self, migration_id: str) -> list[tuple[str, str | None, datetime]]:
        """Name, step or phase, and time of everything that happened to a migration."""
        return [
            (name, step or phase, at)
            for name, step, phase, at in self.select(
                "SELECT name, detail ->> 'step', phase, at FROM migration_events"
                " WHERE migration_id = %s ORDER BY id",
                migration_id,
            )
        ]
