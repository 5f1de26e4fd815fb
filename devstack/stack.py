"""The embedded stack as one thing: started together, stopped together."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack.milvus_lite import MilvusLiteServer
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from devstack.server import PROJECT, Server, listens

#: All that the servers keep; ignored by git, removed by ``make clean``.
DEFAULT_DATA = PROJECT / ".reembed"


class DataInUse(RuntimeError):
    """Another embedded stack runs on this folder; stop it first with 'make down'."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class EmbeddedStack:
    """Redis, PostgreSQL and Milvus Lite on free loopback ports, their data in one folder.

    A context manager; leaving it stops the servers and keeps their data. Start
    it from the main thread: the servers die with the thread that started them.

    Raises:
        DataInUse: from :meth:`start`, when another stack runs on the folder.
        ChildDied, TimeoutError: from :meth:`start`, with the end of the server's log.
    """

    def __init__(self, data: Path = DEFAULT_DATA) -> None:
        self.data = data.resolve()
        self.redis = RedisServer(self.data / "redis")
        self.postgres = PostgresServer(self.data / "postgres")
        self.milvus = MilvusLiteServer(self.data / "milvus-lite")
        self._lock: int | None = None

    @property
    def servers(self) -> tuple[Server, ...]:
        return (self.redis, self.postgres, self.milvus)

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    def start(self) -> None:
        self._lock_data()
        try:
            for server in self.servers:
                server.port = server.port or self._last_port(server)
                server.launch()
            for server in self.servers:
                server.wait_healthy()
                self._port_file(server).write_text(str(server.port))
        except BaseException:
            self.stop()
            raise

    def _lock_data(self) -> None:
        if self._lock is not None:
            return
        self.data.mkdir(parents=True, exist_ok=True)
        # The kernel lets go of it when we end, however we end.
        lock = os.open(self.data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise DataInUse from None
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        self._lock = lock

    def _last_port(self, server: Server) -> int:
        """Of its last start, so that who has noted its address finds it again; 0 if it is taken."""
        try:
            port = int(self._port_file(server).read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return 0 if listens(port) else port

    def _port_file(self, server: Server) -> Path:
        return self.data / f"{server.name}.port"

    def stop(self) -> None:
        """Stop every server; returns when no process is left. Harmless when stopped."""
        for server in self.servers:
            server.request_stop()
        for server in self.servers:
            server.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def environment(self) -> dict[str, str]:
        """The variables that lead reembed to these servers, and to no other's settings."""
        return {
            "REEMBED_DATABASE_URL": self.postgres.url,
            "REEMBED_REDIS_URL": self.redis.url,
            "REEMBED_MILVUS_URI": self.milvus.url,
            # What a user's .env says is about servers of their own.
            "REEMBED_MILVUS_TOKEN": "",
            "REEMBED_MILVUS_DB": "",
            "REEMBED_ENV_FILE": "",
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def holder(data: Path) -> int | None:
    """The process whose stack runs on the folder, told by its lock; None when none does."""
    try:
        lock = os.open(data / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(lock, 20) or b"0") or None
    finally:
        os.close(lock)
    return None
