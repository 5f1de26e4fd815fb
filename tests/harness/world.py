"""The whole system at work: real servers, real processes, and everything a test may break.

    with World(servers, folder) as world:
        bot = world.seed_bot(200)
        run = bot.start(LARGE, batch_size=10)
        world.kill("batch2")
        run.ends("completed")
        world.assert_all_well(bot)

The provider is a stub in this process, so a test reads its counters directly.
Start a world from the main thread: its processes die with the thread that
started them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import orjson
import redis

from devstack.client import ApiClient
from devstack.processes import Processes, inherited_environment
from devstack.provider import StubProvider
from devstack.server import PROJECT, free_port
from migrations.bootstrap import issue_token
from migrations.model.bots import Role
from migrations.model.config import EmbeddingRef
from migrations.model.roles import TextRole
from migrations.settings import Settings
from tests.harness import rows
from tests.harness.bots import BotHandle, Run, expect
from tests.harness.failpoint_driver import FailpointDriver
from tests.harness.oracle import TERMINAL, Oracle
from tests.harness.tcp_proxy import TcpProxy
from tests.harness.writers import History
from tests.services.databases import unique_name

PROVIDER, KEYLESS = "stub", "keyless"
KEY_VARIABLE, KEY = "STUB_API_KEY", "sk-the-key-of-the-stub"
SMALL = EmbeddingRef(provider=PROVIDER, model="small", dimension=16)
LARGE = EmbeddingRef(provider=PROVIDER, model="large", dimension=32)
OTHER = EmbeddingRef(provider=PROVIDER, model="other", dimension=16)
#: Wants documents and questions told apart; the stub knows it by its name.
IN_ROLES = EmbeddingRef(
    provider=PROVIDER,
    model="intfloat/e5-small-v2",
    dimension=64,
    document_role=TextRole(prefix="passage: "),
    query_role=TextRole(prefix="query: "),
)
MODELS = {ref.model: ref.dimension for ref in (SMALL, LARGE, OTHER, IN_ROLES)}
#: Not in the settings: its dimension has to be found out by asking it.
UNLISTED = EmbeddingRef(provider=PROVIDER, model="unlisted", dimension=24)

#: Death is noticed and retries come sooner than by default; what a user may wait
#: for is not what a test has to.
QUICK = {
    "REEMBED_HEARTBEAT_SECONDS": "1",
    "REEMBED_STALLED_AFTER_SECONDS": "4",
    "REEMBED_WATCH_EVERY_SECONDS": "0.5",
    "REEMBED_QUIESCE_SECONDS": "10",
    "REEMBED_RETRY_DELAY": "0.1",
    "REEMBED_WAVE_SIZE": "4",
    "REEMBED_VERIFY_SAMPLE": "40",
    # What is counted and what is paid for is what a test has asked for.
    "REEMBED_CANARY_HOURS": "0",
    # In 16 and 32 dimensions the stub's models see nearly nothing alike.
    "REEMBED_GATES": '{"neighbourhood_overlap": 0}',
    "REEMBED_LOG_FORMAT": "json",
}
OWNER = "owner"


@dataclass(frozen=True)
class Servers:
    """Addresses of one Redis database, one PostgreSQL database and one Milvus."""

    redis_url: str
    #: With the newest schema, and nobody else's.
    database_url: str
    milvus_url: str


@dataclass
class Wires:
    """A proxy in front of each server, by name; only in a world that asked for them."""

    redis: TcpProxy
    postgres: TcpProxy
    milvus: TcpProxy
    provider: TcpProxy


@dataclass
class World:
    """``settings`` are environment variables over QUICK; give ``quick=False`` for the defaults.

    ``workers`` says how many of each worker there are: the first is called as in
    the Procfile, the others ``batch2``, ``batch3`` … With ``wired`` the processes
    reach every server through a proxy of ours, while the test does not.
    """

    servers: Servers
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=lambda: {"batch": 1, "control": 1})
    quick: bool = True
    with_failpoints: bool = True
    wired: bool = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.provider = stack.enter_context(
                StubProvider(MODELS | {UNLISTED.model: UNLISTED.dimension}, accepted_key=KEY)
            )
            self.driver = stack.enter_context(FailpointDriver())
            self.wires = self._wires(stack) if self.wired else None
            self.environment = self._environment()
            self.milvus = rows.connect(self.servers.milvus_url)
            stack.callback(self.milvus.close)
            self.redis = stack.enter_context(redis.Redis.from_url(self.servers.redis_url))
            self.oracle = Oracle(self.milvus, self.servers.database_url, self.servers.redis_url)
            stack.callback(self.oracle.close)
            self._start(stack)
            self._leaving = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving.__exit__(kind, error, traceback)

    def _start(self, stack: ExitStack) -> None:
        self.admin = self.client("admin", Role.ADMIN)
        self.owner_token = self.token(OWNER)
        self.chatbot_token = self.token(OWNER, Role.QUERY)
        self.owner = ApiClient(self.url, self.owner_token)
        procfile = write_procfile(self.folder, self.workers)
        self.processes = Processes(self.environment, logs=self.folder, procfile=procfile)
        stack.callback(self.processes.stop)
        self.processes.start(name for name in self.processes.names if name != "flower")
        self.processes.wait_ready()
        self.grant(OWNER, "*")

    # --- configuration ------------------------------------------------------------

    def _wires(self, stack: ExitStack) -> Wires:
        addresses = (
            self.servers.redis_url,
            self.servers.database_url,
            self.servers.milvus_url,
            self.provider.base_url,
        )
        return Wires(*(stack.enter_context(TcpProxy(_port(url))) for url in addresses))

    def _environment(self) -> dict[str, str]:
        stub = {
            "base_url": self._through("provider", self.provider.base_url),
            "api_key_env": KEY_VARIABLE,
            "models": MODELS,
        }
        keyless = {**stub, "api_key_env": "KEY_THAT_NOBODY_SET"}
        own = {
            "REEMBED_REDIS_URL": self._through("redis", self.servers.redis_url),
            "REEMBED_DATABASE_URL": self._through("postgres", self.servers.database_url),
            "REEMBED_MILVUS_URI": self._through("milvus", self.servers.milvus_url),
            "REEMBED_PROVIDERS": orjson.dumps({PROVIDER: stub, KEYLESS: keyless}).decode(),
            "REEMBED_PORT": str(free_port()),
            "REEMBED_FLOWER_PORT": str(free_port()),
            "REEMBED_ENV_FILE": "",
            # Tests look as often as they can, and with one token; counted they are all the same.
            "REEMBED_REQUESTS_PER_MINUTE": "1000000",
            # One owner has nearly all bots.
            "REEMBED_MAX_MIGRATIONS_PER_OWNER": "20",
            KEY_VARIABLE: KEY,
            # The processes run beside a Procfile of their own, not in the project.
            "PYTHONPATH": str(PROJECT),
        }
        if self.with_failpoints:
            own["REEMBED_FAILPOINTS"] = self.driver.url
        return inherited_environment() | own | (QUICK if self.quick else {}) | dict(self.settings)

    def _through(self, name: str, url: str) -> str:
        """The URL as the processes see it: by the wire of this name, where there are wires."""
        if self.wires is None:
            return url
        wire: TcpProxy = getattr(self.wires, name)
        return url.replace(f":{_port(url)}", f":{wire.port}")

    def client(self, owner: str, role: Role = Role.USER) -> ApiClient:
        """Somebody with a token of their own."""
        return ApiClient(self.url, self.token(owner, role))

    def token(self, owner: str, role: Role = Role.USER) -> str:
        database = Settings(
            _env_file=None,
            database_url=self.servers.database_url,
            redis_url=self.servers.redis_url,
            milvus_uri=self.servers.milvus_url,
        )
        return issue_token(database, unique_name("token"), owner, role)

    def grant(self, owner: str, pattern: str) -> None:
        """Let an owner register collections of such names, as an admin does."""
        expect(201, self.admin.post("/grants", {"owner": owner, "pattern": pattern}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['REEMBED_PORT']}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.environment['REEMBED_FLOWER_PORT']}"

    # --- processes ------------------------------------------------------------------

    def pids(self, kind: str) -> dict[str, int]:
        """The workers of a kind that run, by name."""
        found = {name: self.processes.pid(name) for name in self.processes.names}
        mine = re.compile(rf"{kind}\d*")
        return {name: pid for name, pid in found.items() if pid and mine.fullmatch(name)}

    @property
    def slots(self) -> int:
        """Batches that one worker works on at a time: it has threads, and waves are open."""
        threads, size, waves = (
            int(self.environment.get(f"REEMBED_{name}", default))
            for name, default in (
                ("BATCH_CONCURRENCY", "12"),
                ("WAVE_SIZE", "64"),
                ("WAVES_IN_FLIGHT", "2"),
            )
        )
        return min(threads, size * waves)

    def kill(self, name: str) -> None:
        """SIGKILL a process with its children, as a crash of its machine would."""
        self.processes.kill(name)

    def restart(self, names: Iterable[str]) -> None:
        """Stop cleanly what runs of these, and start them all."""
        wanted = list(names)
        self.processes.stop([name for name in wanted if self.processes.pid(name)])
        self.processes.start(wanted)

    # --- bots -----------------------------------------------------------------------

    def seed_bot(
        self,
        chunks: int | Mapping[str, str] = 60,
        embedding: EmbeddingRef = SMALL,
        api: ApiClient | None = None,
    ) -> BotHandle:
        """A new collection with as many chunks, embedded by ``embedding``, and its bot."""
        texts = numbered_texts(chunks) if isinstance(chunks, int) else dict(chunks)
        name = unique_name("c")
        rows.make_collection(self.milvus, name, embedding.dimension)
        rows.fill(self.milvus, name, embedding, texts)
        return self.register(name, embedding, texts, api)

    def register(
        self,
        collection: str,
        embedding: EmbeddingRef,
        texts: dict[str, str],
        api: ApiClient | None = None,
    ) -> BotHandle:
        caller = api or self.owner
        bot_id, alias = unique_name("bot"), f"{collection}_live"
        wish = {"bot_id": bot_id, "collection": collection, "alias": alias, "text_field": "text"}
        expect(201, caller.post("/bots", {**wish, **embedding.canonical}))
        return BotHandle(caller, bot_id, alias, collection, embedding, History(texts))

    def digest(self, bot: BotHandle, collection: str | None = None) -> str:
        """Of every byte of a collection of the bot, by default its first one."""
        keys = list(bot.history.possible())
        return rows.digest(self.milvus, collection or bot.collection, keys)

    def assert_all_well(self, bot: BotHandle) -> None:
        self.oracle.assert_all_well(bot.bot_id, bot.history)

    def statuses(self) -> dict[str, str]:
        """Of every run there ever was."""
        found = self.oracle.select("SELECT id, status FROM migrations")
        return {str(run["id"]): run["status"] for run in found}

    def settle(self, seconds: float = 30) -> None:
        """Let everybody go, the provider behave and the wires be whole; wait until all is quiet."""
        self.driver.clear()
        self.provider.behave()
        self.provider.latency_seconds = 0.0
        for wire in vars(self.wires).values() if self.wires else ():
            wire.restore()
        deadline = time.monotonic() + seconds
        while busy := [run for run, status in self.statuses().items() if status not in TERMINAL]:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"still under way: {[Run(self.admin, r).progress() for r in busy]}"
                )
            time.sleep(0.1)

    def forget_limits(self) -> None:
        """What was learned of the provider's pace: after a test's refusals it is a twentieth."""
        if learned := list(self.redis.scan_iter("reembed:{limiter:*")):
            self.redis.delete(*learned)

    def bots(self) -> set[str]:
        return {bot["bot_id"] for bot in self.admin.get("/bots").body["bots"]}

    def forget_bots(self, *, but: set[str]) -> None:
        """Those of a test that is over: their aliases and late writes would be looked after on."""
        for bot_id in self.bots() - but:
            self.admin.delete(f"/bots/{bot_id}")


def numbered_texts(chunks: int) -> dict[str, str]:
    return {f"k{i:06}": f"chunk number {i} says {i * i}" for i in range(chunks)}


def write_procfile(
    folder: Path, workers: Mapping[str, int], code: Path = PROJECT, mark: str = ""
) -> Path:
    """The Procfile of ``code`` with as many workers of each kind as asked for.

    ``mark`` is in the names by which Celery knows them.
    """
    lines: list[str] = []
    for line in (code / "Procfile").read_text().splitlines():
        kind, _, command = line.partition(":")
        for number in range(1, workers.get(kind, 1) + 1):
            name = f"{kind}{number}" if number > 1 else kind
            node = f"--hostname {name}{mark}@"
            lines.append(f"{name}:{command.replace(f'--hostname {kind}@', node)}")
    folder.mkdir(parents=True, exist_ok=True)
    procfile = folder / "Procfile"
    procfile.write_text(os.linesep.join([*lines, ""]))
    return procfile


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
