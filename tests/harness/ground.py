"""A world on servers of its own, so that these can be killed as well as the workers.

with EmbeddedStack(folder / "servers") as stack, ground_on(stack, folder, wired=True) as world:
    world.crash("redis")
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.server import Server
from devstack.stack import EmbeddedStack
from migrations.store.revisions import upgrade
from tests.harness import rows
from tests.harness.bots import Run
from tests.harness.failpoint_driver import PATIENCE_SECONDS, Hit
from tests.harness.ledger import Asked
from tests.harness.world import Servers, World
from tests.services.databases import TEMPLATE, create_template, fresh_database, fresh_redis

ServerName = Literal["redis", "postgres", "milvus"]
SERVERS: tuple[ServerName, ...] = ("redis", "postgres", "milvus")
#: Two of each, so that one is left when one is killed.
PAIRS = {"batch": 2, "control": 2}


@dataclass
class Ground(World):
    """A world whose servers are ours to break."""

    stack: EmbeddedStack | None = None

    # --- servers ------------------------------------------------------------------

    def server(self, name: ServerName) -> Server:
        assert self.stack is not None
        found: Server = getattr(self.stack, name)
        return found

    def crash(self, name: ServerName, down_seconds: float = 0, *, forgetting: bool = False) -> None:
        """SIGKILL a server, and start it again; ``forgetting``: with none of its data."""
        server = self.server(name)
        server.kill()
        if forgetting:
            shutil.rmtree(server.data)
        time.sleep(down_seconds)
        server.start()

    def drop_collections(self) -> None:
        """Every one, and every alias: nobody answers from them any more.

        With more collections than it has physical channels (16) Milvus 2.3.5 loses, when it
        is killed, what was not flushed, whoever wrote it.
        """
        for name in self.milvus.list_collections():
            for alias in self.milvus.list_aliases(name)["aliases"]:
                self.milvus.drop_alias(alias, timeout=rows.TIMEOUT_SECONDS)
            self.milvus.drop_collection(name, timeout=rows.TIMEOUT_SECONDS)

    # --- workers ------------------------------------------------------------------

    def name_of(self, pid: int) -> str:
        """The process of this id, alive or just killed."""
        return next(name for name, known in self._known.items() if known == pid)

    @property
    def _known(self) -> dict[str, int]:
        # A process that is gone has no pid; what was last seen of it is what is asked for.
        seen: dict[str, int] = self.__dict__.setdefault("_pids", {})
        seen.update({n: pid for n in self.processes.names if (pid := self.processes.pid(n))})
        return seen

    def remember_pids(self) -> None:
        """Before anything is killed, so that a hit's process has a name afterwards."""
        assert self._known

    def revive(self) -> None:
        """Start whatever has died, and continue whatever stands still."""
        for name in self.workers_running():
            os.kill(self._known[name], signal.SIGCONT)
        self.processes.start(name for name in self.processes.names if name != "flower")
        self.remember_pids()

    def workers_running(self) -> list[str]:
        return [*self.pids("batch"), *self.pids("control")]

    def wait_for_workers(self, seconds: float = 60) -> None:
        """Until everyone that runs has come to work: a process takes seconds to begin."""
        deadline = time.monotonic() + seconds
        while not {*self.pids("batch").values(), *self.pids("control").values()} <= {
            row["pid"] for row in self.oracle.select("SELECT pid FROM workers")
        }:
            assert time.monotonic() < deadline, f"not all of {self.workers_running()} have begun"
            time.sleep(0.1)

    def acted(self, point: str, action: str, seconds: float = PATIENCE_SECONDS) -> Hit:
        """The first time a worker met this at the point. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while True:
            hits = [h for h in self.driver.reached(point) if h.action == action]
            if hits:
                return hits[0]
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody met {action!r} at {point} in {seconds} s")
            time.sleep(0.02)

    def wait_dead(self, hit: Hit, seconds: float = 10) -> str:
        """The name of the process that was killed at a point, once it is gone."""
        name, deadline = self.name_of(hit.pid), time.monotonic() + seconds
        while self.processes.pid(name) == hit.pid:
            assert time.monotonic() < deadline, f"{name} was to be killed and lives"
            time.sleep(0.02)
        return name

    def forget_sending(self, run: Run) -> None:
        """As if the reply of publishing had been lost: its messages count as never sent."""
        self.rewrite("UPDATE outbox SET sent_at = NULL WHERE migration_id = %s", run.id)

    def rewrite(self, statement: str, *values: str) -> None:
        """Change what PostgreSQL has, as time or a fault would."""
        assert self.stack is not None
        connection = self.stack.postgres.connect(self.servers.database_url.rpartition("/")[2])
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
        connection.close()

    # --- what the provider was paid for ---------------------------------------------

    @property
    def asked(self) -> Asked:
        """Every request the provider has had since this was first looked at."""
        if not isinstance(self.provider.requests_seen, Asked):
            self.provider.requests_seen = Asked()
        return self.provider.requests_seen

    def paid_again(self, run: Run, texts: Collection[str]) -> dict[str, int]:
        """How often each of these texts was embedded by data migration, where more than once.

        Verification embeds a sample once more and is meant to, so what is asked for
        since it first began does not count.
        """
        row, first = self.row(run), ("phase_begun", "verification")
        begun = [e["at"] for e in self.oracle.events(run.id) if (e["name"], e["phase"]) == first]
        until = begun[0].timestamp() if begun else time.time()
        model = row["config"]["to_model"]
        return self.asked.more_than_once(model, texts, row["created_at"].timestamp(), until)

    def row(self, run: Run) -> dict[str, Any]:
        """A run as PostgreSQL has it."""
        (found,) = self.oracle.select("SELECT * FROM migrations WHERE id = %s", run.id)
        return found

    def told(self, run: Run) -> list[str]:
        """The names of a run's events, oldest first."""
        return [event["name"] for event in self.oracle.events(run.id)]


AnyGround = TypeVar("AnyGround", bound=Ground)


@contextmanager
def ground_on(
    stack: EmbeddedStack, folder: Path, kind: type[AnyGround] = Ground, **options: Any
) -> Iterator[AnyGround]:
    """A world on these servers, with databases of its own."""
    with fresh_database(stack.postgres, TEMPLATE) as database:
        servers = Servers(fresh_redis(stack.redis), database, stack.milvus.url)
        with kind(servers, folder, stack=stack, **{"workers": PAIRS, **options}) as ground:
            ground.remember_pids()
            assert ground.asked == []
            yield ground


@contextmanager
def own_stack(
    folder: Path,
    *,
    standalone: bool = False,
    engine: type[MilvusStandaloneServer] = MilvusStandaloneServer,
) -> Iterator[EmbeddedStack]:
    """Redis, PostgreSQL with the newest schema, and Milvus, all in ``folder``."""
    stack = EmbeddedStack(folder)
    if standalone:
        stack.milvus = engine(folder / "milvus-standalone")  # type: ignore[assignment]
    with stack:
        upgrade(create_template(stack.postgres))
        yield stack
