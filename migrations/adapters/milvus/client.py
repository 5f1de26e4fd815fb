"""One MilvusClient per process and database, made when it is first needed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped,unused-ignore]  # its stubs are a package apart
from pymilvus import MilvusClient

from migrations.adapters.milvus.faults import code_of, translated
from migrations.model.collection_names import apart
from migrations.model.errors import (
    CollectionNotFound,
    InvalidConfiguration,
    VectorStoreRefused,
    VectorStoreUnavailable,
)

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


#: The calls that name two collections, or a collection and an alias.
_OF_TWO_NAMES = frozenset({"alter_alias", "create_alias", "rename_collection"})
DEFAULT_DATABASE = "default"


class Connection:
    """The clients of this process; safe to share between threads and across a fork.

    Names of collections and aliases come as the domain has them, qualified by a database where
    it is not ``database``, the deployment's. pymilvus chooses the database of a call by its
    client, so there is one for each; making one takes some 15 ms.

    A gRPC channel does not survive a fork, so a child makes its own client. The
    parent's is kept, untouched, because closing it from the child would close
    the parent's sockets.
    """

    def __init__(self, uri: str, token: str, database: str, timeout_seconds: float) -> None:
        self._uri = uri
        self._token = token
        self._database = database
        self.timeout_seconds = timeout_seconds
        #: By database, "" being the deployment's.
        self._clients: dict[str, MilvusClient] = {}
        self._inherited: list[MilvusClient] = []
        self._lite: bool | None = None
        self._lite_writers = threading.BoundedSemaphore(LITE_WRITERS)
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def client(self, database: str = "") -> MilvusClient:
        """The client of a database, connected.

        Raises:
            VectorStoreUnavailable: within the timeout, when the server does not answer.
            CollectionNotFound, VectorStoreRefused: as :meth:`_require_database`.
        """
        if self._pid != os.getpid():
            self._forget_parent()
        if database and database not in self._clients:
            self._require_database(database)
        with self._lock:
            if database not in self._clients:
                self._clients[database] = self._connect(database or self._database)
            return self._clients[database]

    def _require_database(self, database: str) -> None:
        """There is such a database, and it is not the deployment's under a second name.

        Raises:
            CollectionNotFound: there is none.
            InvalidConfiguration: it is the one that is meant without a name.
            VectorStoreRefused: this Milvus has none at all.
        """
        if database == (self._database or DEFAULT_DATABASE):
            raise InvalidConfiguration(
                f"{database!r} is the database that is meant where none is named; leave it out."
            )
        try:
            there = self.call("list_databases")
        except VectorStoreRefused as error:
            if code_of(error.__cause__) is not grpc.StatusCode.UNIMPLEMENTED:
                return  # it may not be listed by us, and may be there
            raise VectorStoreRefused(
                f"This Milvus has no databases, so there is no {database!r}; name a collection "
                "without one."
            ) from error
        if database not in there:
            raise CollectionNotFound(
                f"Milvus has no database {database!r}; check its spelling.", database=database
            )

    def _forget_parent(self) -> None:
        # The lock too: another thread of the parent may have held it at the fork.
        self._lock = threading.Lock()
        self._lite_writers = threading.BoundedSemaphore(LITE_WRITERS)
        self._inherited += self._clients.values()
        self._clients = {}
        self._pid = os.getpid()

    def _connect(self, database: str) -> MilvusClient:
        with translated(f"connecting to {self._uri}"):
            return MilvusClient(
                uri=self._uri,
                token=self._token,
                db_name=database,
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
        database, bare = _in_one_database(method, args)
        client = self.client(database)
        options.setdefault("timeout", self.timeout_seconds)
        with translated(method, str(args[0]) if args else ""):
            return getattr(client, method)(*bare, **options)

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
        allocate = getattr(getattr(self.client(), "_handler", None), "alloc_timestamp", None)
        if allocate is None or self.is_milvus_lite():
            return None
        with translated("alloc_timestamp"):
            return int(allocate(timeout=self.timeout_seconds))

    def stub(self, database: str = "") -> Any:
        """The raw gRPC service, None when this pymilvus keeps it elsewhere."""
        handler = getattr(self.client(database), "_handler", None)
        return getattr(handler, "_stub", None)

    def metadata(self, database: str) -> list[tuple[str, str]]:
        """What a raw call must carry to reach the right database."""
        return [("dbname", database or self._database)]


def _in_one_database(method: str, args: Sequence[Any]) -> tuple[str, list[Any]]:
    """The database of a call, and its arguments as they are called there.

    Raises:
        CollectionNotFound: no collection can be called so.
        VectorStoreRefused: its two names are in two databases.
    """
    named = 2 if method in _OF_TWO_NAMES else 1
    names = [apart(name) for name in args[:named]]
    for name, (database, bare) in zip(args, names, strict=False):
        if not bare or (not database and bare != name):
            raise CollectionNotFound(f"Milvus can have no collection {name!r}.", collection=name)
    databases = {database for database, _ in names} or {""}
    if len(databases) > 1:
        raise VectorStoreRefused(f"{args[0]!r} and {args[1]!r} are in two databases.")
    return databases.pop(), [*(bare for _, bare in names), *args[named:]]
