"""One MilvusClient per process, made when it is first needed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymilvus import MilvusClient

from migrations.adapters.milvus.faults import translated
from migrations.model.errors import VectorStoreUnavailable

# pymilvus writes a traceback at ERROR for every failed call, also for the ones
# that only ask whether an alias exists. Every error is raised to us anyway, and
# is logged once, by whoever decides what it means.
for _name in ("pymilvus", "pymilvus.decorators", "pymilvus.client.connection_manager"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


#: pymilvus pings an idle server every 10 s, and milvus-lite hangs up on whoever pings
#: more than twice within 5 minutes: the next call then fails with "Too many pings".
#: Every call has a timeout, which finds a dead server soon enough. Channels of one
#: process do not share their connections, so nobody else's pings can end ours.
CHANNEL_OPTIONS = {
    "grpc.keepalive_time_ms": 330_000,
    "grpc.keepalive_permit_without_calls": False,
    "grpc.use_local_subchannel_pool": 1,
}


#: milvus-lite is one Python process, in which more writers only wait for its lock: with
#: twelve at once 8,000 rows of 3,072 dimensions took 15 s, with two 11 s (one run each).
LITE_WRITERS = 2


class Connection:
    """The client of this process; safe to share between threads and across a fork.

    A gRPC channel does not survive a fork, so a child makes its own client. The
    parent's is kept, untouched, because closing it from the child would close
    the parent's sockets.
    """

    def __init__(self, uri: str, token: str, database: str, timeout_seconds: float) -> None:
        self._uri = uri
        self._token = token
        self._database = database
        self.timeout_seconds = timeout_seconds
        self._client: MilvusClient | None = None
        self._inherited: list[MilvusClient] = []
        self._lite: bool | None = None
        self._lite_writers = threading.BoundedSemaphore(LITE_WRITERS)
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    def client(self) -> MilvusClient:
        """The client, connected.

        Raises:
            VectorStoreUnavailable: within the timeout, when the server does not answer.
        """
        if self._pid != os.getpid():
            self._forget_parent()
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _forget_parent(self) -> None:
        # The lock too: another thread of the parent may have held it at the fork.
        self._lock = threading.Lock()
        self._lite_writers = threading.BoundedSemaphore(LITE_WRITERS)
        if self._client is not None:
            self._inherited.append(self._client)
        self._client = None
        self._pid = os.getpid()

    def _connect(self) -> MilvusClient:
        with translated(f"connecting to {self._uri}"):
            return MilvusClient(
                uri=self._uri,
                token=self._token,
                db_name=self._database,
                timeout=self.timeout_seconds,
                # pymilvus shares one channel per address within a process, and
                # would hand a forked child its parent's.
                dedicated=True,
                grpc_options=CHANNEL_OPTIONS,
            )

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """One method of MilvusClient, with the timeout, its errors translated.

        The first argument, where there is one, is the collection or alias it is about.
        """
        client = self.client
        options.setdefault("timeout", self.timeout_seconds)
        with translated(method, str(args[0]) if args else ""):
            return getattr(client, method)(*args, **options)

    def is_milvus_lite(self) -> bool:
        """Whether the server is the pure Python engine, which differs where it matters."""
        if self._lite is None:
            # The real server's embedded build says "v2.3.5-lite".
            self._lite = str(self.call("get_server_version")).startswith("milvus_lite")
        return self._lite

    @contextmanager
    def turn_to_write(self) -> Iterator[None]:
        """Held while rows are being sent, in however many requests.

        Raises:
            VectorStoreUnavailable: within the timeout, when those before it do not end.
        """
        if not self.is_milvus_lite():
            yield
            return
        writers = self._lite_writers
        if not writers.acquire(timeout=self.timeout_seconds):
            raise VectorStoreUnavailable("milvus-lite has not taken the writes before this one.")
        try:
            yield
        finally:
            writers.release()

    def timestamp(self) -> int | None:
        """The server's clock now, None when it does not tell.

        A read that waits until the server has seen everything up to this sees
        every write that was acknowledged before. "Strong" asks for the same at
        each single read and waits for the next time tick (0.2 s) every time; a
        scan that takes its time once waits once.
        """
        allocate = getattr(getattr(self.client, "_handler", None), "alloc_timestamp", None)
        if allocate is None or self.is_milvus_lite():
            return None
        with translated("alloc_timestamp"):
            return int(allocate(timeout=self.timeout_seconds))

    def stub(self) -> Any:
        """The raw gRPC service, None when this pymilvus keeps it elsewhere."""
        handler = getattr(self.client, "_handler", None)
        return getattr(handler, "_stub", None)

    def metadata(self) -> list[tuple[str, str]]:
        """What a raw call must carry to reach the right database."""
        return [("dbname", self._database)]
