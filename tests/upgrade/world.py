"""A world that begins with the old code and goes on with the new one, on the same servers.

    with UpgradedWorld(servers, folder, versions=versions, issued=token) as world:
        run = world.seed_bot(60).start(LARGE)
        world.old.kill()
        world.upgrade()
        run.ends("completed")

Nothing here imports what the product is made of: it is started by the Procfile and the
commands of its version, asked over HTTP and SQL, and held at its named points.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.child import ended_within
from devstack.client import ApiClient
from devstack.processes import Processes, inherited_environment
from devstack.stack import EmbeddedStack
from tests.harness.bots import Run
from tests.harness.ground import Ground, ground_on
from tests.harness.world import OWNER, write_procfile
from tests.services.databases import create_template
from tests.upgrade.versions import Version, assert_apart

#: For whatever must come; a run takes seconds, on a busy machine many of them.
PATIENCE_SECONDS = 180.0
API = "api"
#: What Celery says when it takes tasks, and when it has heard SIGTERM and takes no more.
_READY, _ENDING = " ready.", "Warm shutdown"
#: An error that was logged, an exception's words, or a message that nobody understands.
_WRONG = re.compile(
    r'"level": ?"(?:error|critical)"|Traceback \(most recent|unregistered task|unknown message'
)


@dataclass(frozen=True)
class Versions:
    old: Version
    new: Version


@dataclass
class Side:
    """The processes of one version."""

    version: Version
    environment: dict[str, str]
    processes: Processes

    @property
    def names(self) -> list[str]:
        return [name for name in self.processes.names if name != "flower"]

    @property
    def running(self) -> dict[str, int]:
        found = {name: self.processes.pid(name) for name in self.names}
        return {name: pid for name, pid in found.items() if pid}

    def start(self, only: Iterable[str] | None = None) -> None:
        """Return when the workers take messages."""
        names = self.names if only is None else list(only)
        self.processes.start(names)
        for name in names:
            if name != API:
                self._wait_told(name, _READY, meanwhile=self.processes.check)

    def kill(self, only: Iterable[str] | None = None) -> None:
        """SIGKILL, as when the machine goes."""
        for name in list(self.running) if only is None else list(only):
            self.processes.kill(name)

    def end(
        self, only: Iterable[str] | None = None, release: Callable[[], None] | None = None
    ) -> None:
        """SIGTERM, as a deploy does; what stands at a point goes on when all have heard it."""
        running = self.running
        names = list(running) if only is None else list(only)
        for name in names:
            os.kill(running[name], signal.SIGTERM)
        for name in names:
            if name != API:
                self._wait_told(name, _ENDING)
        if release is not None:
            release()
        for name in names:
            assert ended_within(running[name], PATIENCE_SECONDS), f"{name} does not end"
        self.processes.stop(names)

    def _wait_told(
        self, name: str, words: str, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        def told() -> bool:
            meanwhile()
            return words in self.log(name)

        eventually(told, f"the {name} did not say {words!r}")

    def log(self, name: str) -> str:
        file = self.processes.log(name)
        return file.read_text(errors="replace") if file.exists() else ""

    def tails(self, lines: int = 25) -> Iterator[str]:
        """The end of every log, without Celery's lists of tasks."""
        for name in self.names:
            said = [line for line in self.log(name).splitlines() if not line.startswith("  . ")]
            last = [line[:1500] for line in said if line.strip()][-lines:]
            yield "\n".join([f"--- the {self.version.name} {name}:", *last])

    def mark(self) -> dict[str, int]:
        """How long each log is now."""
        return {name: len(self.log(name)) for name in self.names}

    def complaints(self, since: Mapping[str, int] | None = None) -> list[str]:
        """Lines that a version which understands its surroundings does not write."""
        known = since or {}
        return [
            f"the {self.version.name} {name}: {line[:600]}"
            for name in self.names
            for line in self.log(name)[known.get(name, 0) :].splitlines()
            if _WRONG.search(line)
        ]


@dataclass
class UpgradedWorld(Ground):
    """``settings`` are both versions'."""

    versions: Versions | None = None
    #: A token of the old code's making.
    issued: str = ""

    def _start(self, stack: ExitStack) -> None:
        assert self.versions is not None
        self.owner_token = self.issued
        self.owner = ApiClient(self.url, self.issued)
        self.old = self._side(self.versions.old)
        self.new = self._side(self.versions.new)
        for side in (self.old, self.new):
            stack.callback(side.processes.stop)
        if self.old.version.knows_grants:
            self.old.version.grant(self.old.environment, OWNER, "*")
        self.begin(self.old)

    def _side(self, version: Version) -> Side:
        environment = version.environment(self.environment)
        folder = self.folder / version.name
        procfile = write_procfile(folder, self.workers, version.code, f"-{version.name}")
        return Side(version, environment, Processes(environment, logs=folder, procfile=procfile))

    def begin(self, side: Side, only: Iterable[str] | None = None) -> None:
        """Start processes of a side; the world's own are that side's from now on."""
        side.start(only)
        self.processes = side.processes
        if API in side.running:
            side.processes.wait_ready(PATIENCE_SECONDS)
        self.remember_pids()

    def upgrade(self) -> None:
        """What an operator does once the old processes are gone."""
        assert not self.old.running, f"the old {self.old.running} still run"
        self.upgrade_schema()
        self.begin(self.new)

    def upgrade_schema(self) -> None:
        before = self.schema_revision()
        self.new.version.upgrade_schema(self.new.environment)
        # Registering needs one, of which early versions knew nothing.
        self.new.version.grant(self.new.environment, OWNER, "*")
        print(f"      schema {before} -> {self.schema_revision()}", flush=True)

    def schema_revision(self) -> str:
        (row,) = self.oracle.select("SELECT version_num FROM schema_revision")
        return str(row["version_num"])

    def forget_all_sending(self) -> None:
        """As if the old code had died between recording its messages and sending them."""
        for run in self.statuses():
            self.forget_sending(Run(self.owner, run))

    def unsent(self) -> list[str]:
        """Messages of the outbox that are still to be sent; those of a gone epoch are not."""
        found = self.oracle.select(
            "SELECT body FROM outbox JOIN migrations ON migrations.id = outbox.migration_id"
            " WHERE outbox.sent_at IS NULL AND outbox.epoch = migrations.epoch"
        )
        return [str(message["body"]) for message in found]

    def waiting(self) -> dict[str, int]:
        """By queue, the messages that no worker has taken."""
        queues = self.redis.scan_iter(match="migrations*", _type="list")
        return {queue.decode(): self.redis.llen(queue) for queue in queues}


def eventually(
    holds: Callable[[], bool], otherwise: str, seconds: float = PATIENCE_SECONDS
) -> None:
    """Wait until it holds. Raises AssertionError with this sentence."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: {otherwise}"
        time.sleep(0.1)


@contextmanager
def worlds(stack: EmbeddedStack, versions: Versions) -> Iterator[WorldMaker]:
    """Make worlds on these servers, each with databases of its own of the old schema."""
    template = create_template(stack.postgres)
    variables = inherited_environment() | stack.environment()
    variables["REEMBED_DATABASE_URL"] = template
    assert_apart(versions.old, versions.new, variables)
    versions.old.upgrade_schema(variables)
    issued = versions.old.issue_token(variables, OWNER)
    yield WorldMaker(stack, versions, issued)


@dataclass(frozen=True)
class WorldMaker:
    stack: EmbeddedStack
    versions: Versions
    issued: str

    def world(
        self, folder: Path, settings: Mapping[str, str], workers: Mapping[str, int]
    ) -> AbstractContextManager[UpgradedWorld]:
        return ground_on(
            self.stack,
            folder,
            UpgradedWorld,
            settings=settings,
            workers=workers,
            versions=self.versions,
            issued=self.issued,
        )
