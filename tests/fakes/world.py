"""The whole domain on fakes, and a driver that plays Celery within one process.

A ``World`` has one bot, ``bot``, whose chunks are embedded by the model "small",
and the system, conductor and watchdog that work on it. Messages that the domain
sends become tasks as the dispatcher and the worker would make them: chains stop
at an exception, a wave is its batches and then its advance. Nothing runs until a
test delivers it, and a test decides in which order, how often and whether at all.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID

import numpy as np

from migrations.compatibility import EmbeddingCompatibilityManager
from migrations.conductor import Conductor
from migrations.copying.keyed import KeyedVectors
from migrations.copying.looked_up import LookedUpTexts
from migrations.embedding.work import Errand
from migrations.lifecycle.sequence import Link, canvas_of
from migrations.model import task_names as names
from migrations.model.bots import Bot, Caller, Role
from migrations.model.chunks import Chunk, Key, KeyRange
from migrations.model.config import EmbeddingRef, Keys
from migrations.model.errors import PutDown
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.runs import Migration
from migrations.model.states import DRIVEN, Phase, Status
from migrations.model.texts import FieldRecipe
from migrations.model.writes import Write, WriteKind
from migrations.ports.vector_store import VectorStore
from migrations.process import failpoints
from migrations.process.call_slots import CallSlots
from migrations.process.outbox import FORGOTTEN_AFTER_SECONDS
from migrations.process.pulse import Beat, Pulse
from migrations.process.services import Services
from migrations.run.run import Run
from migrations.settings import Settings
from migrations.system import EmbeddingMigrationSystem
from migrations.watchdog import Watchdog
from migrations.writers.applying import apply_journal
from migrations.writers.journal import Writers, Written
from tests.fakes.checkpoints import FakeCheckpoints
from tests.fakes.chores import chore
from tests.fakes.clock import FakeClock
from tests.fakes.courier import FakeCourier
from tests.fakes.dispatcher import FakeDispatcher
from tests.fakes.embedders import LARGE, SMALL, FakeEmbedders, vector_in
from tests.fakes.limiter import FakeRateLimiter
from tests.fakes.state_store import FakeMigrationStore
from tests.fakes.text_tables import IN_A_TABLE, FakeTextTables
from tests.fakes.vector_store import TEXT_FIELD, FakeVectorStore

OWNER = Caller("owner")
ADMIN = Caller("boss", Role.ADMIN)
SOURCE, ALIAS = "source", "live"


class WorkerKilled(BaseException):
    """The process is gone: no handler of the domain may hear of it."""


class AttentivePulse(Pulse):
    """No thread: each check asks the store, so that a test decides when work hears of its end.

    With ``every_seconds`` it asks once and then not again for a while.
    """

    def __init__(self, every_seconds: float = -1.0) -> None:
        super().__init__(every_seconds)

    def _ensure_thread(self) -> None:
        pass


@dataclass
class Chord:
    """Parts that have not ended, and what follows them; a part that ends twice counts once."""

    waiting: set[int]
    body: Task

    def ended(self, part: int) -> Task | None:
        was_waiting = part in self.waiting
        self.waiting.discard(part)
        return self.body if was_waiting and not self.waiting else None


@dataclass(frozen=True)
class Task:
    """One Celery message: its task's name, what it does and what is sent when it has ended."""

    name: str
    call: Callable[[], object]
    then: tuple[Task, ...] = ()
    chord: Chord | None = None
    part: int = 0

    def __repr__(self) -> str:
        return f"{self.name}[{self.part}]" if self.chord else self.name

    def successor(self) -> Task | None:
        if self.chord is not None:
            return self.chord.ended(self.part)
        return replace(self.then[0], then=self.then[1:]) if self.then else None


@dataclass
class World:
    """``texts`` are the bot's chunks, in order, under the keys that ``key_of`` gives their numbers.

    ``settings`` as in Settings.
    """

    texts: Sequence[str] | int = 12
    settings: dict[str, Any] = field(default_factory=dict)
    store_class: type[FakeMigrationStore] = FakeMigrationStore
    checkpoints_class: type[FakeCheckpoints] = FakeCheckpoints
    embedders: FakeEmbedders = field(default_factory=FakeEmbedders)
    pulse: Pulse = field(default_factory=AttentivePulse)
    key_of: Callable[[int], Key] = "k{:03}".format
    #: Whether Milvus gives the keys; those of the bot's first chunks are ``key_of``'s all the same.
    keys_are_given: bool = False
    #: Whether the texts stand in a table and not in the rows.
    in_a_table: bool = False
    #: Of the bot: whether its first collection, which no run has made, may be dropped.
    drop_originals: bool = False
    #: What its chunks are embedded with, and what is stated of that beside provider and model.
    old: EmbeddingRef = SMALL
    stated: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.store = self.store_class(self.clock)
        self.vectors = FakeVectorStore()
        self.checkpoints = self.checkpoints_class(self.clock)
        self.embedders.limiter = self.limiter = FakeRateLimiter(self.clock)
        self.dispatcher = FakeDispatcher()
        self.tables = FakeTextTables()
        self.courier = FakeCourier()
        keyed = cast("VectorStore", KeyedVectors(self.vectors, self.store))
        self.services = Services(
            store=self.store,
            vectors=cast("VectorStore", LookedUpTexts(keyed, self.tables, self.store)),
            embedders=self.embedders,
            checkpoints=self.checkpoints,
            limiter=self.limiter,
            dispatcher=self.dispatcher,
            clock=self.clock,
            settings=_settings(self.settings),
            pulse=self.pulse,
            calls=CallSlots(8),
            courier=self.courier,
        )
        self.conductor = Conductor(self.services)
        self.system = EmbeddingMigrationSystem(self.services)
        self.manager = EmbeddingCompatibilityManager(self.services, self.system)
        self.watchdog = Watchdog(self.services)
        self.writers = Writers(self.services, self.dispatcher.wake_applier)
        self.queue: list[Task] = []
        #: Names of the tasks that were run, and how they ended when not well.
        self.ran: list[str] = []
        self.failures: list[tuple[str, Exception]] = []
        self.store.add_grant(OWNER.owner, "*", by=ADMIN.owner)
        self._seed()

    def _seed(self) -> None:
        wanted, old = self.texts, self.old
        texts = [f"text {i}" for i in range(wanted)] if isinstance(wanted, int) else wanted
        rows = [row_of(self.key_of(i), text, old) for i, text in enumerate(texts)]
        if self.in_a_table:
            self.tables.texts |= {str(row["pk"]): row.pop("text") for row in rows}
        given = {"key_is_given": self.keys_are_given}
        self.vectors.seed(SOURCE, rows, old.dimension, ALIAS, **given)
        recipe = IN_A_TABLE if self.in_a_table else FieldRecipe(field=TEXT_FIELD)
        wish = BotRegistration("bot", ALIAS, old.provider, old.model, recipe=recipe)
        wish = replace(wish, drop_originals=self.drop_originals, **self.stated)
        self.system.register_bot(OWNER, wish)

    # --- asking ---------------------------------------------------------------

    def start(self, **changes: Any) -> Migration:
        """A migration of the bot to the model "large", in batches of three, without pauses."""
        wish = {"provider": LARGE.provider, "model": LARGE.model, "batch_size": 3}
        wish |= {"retry_delay": 0.0, "keys": self._keys, **changes}
        return self.system.start_migration(OWNER, StartRequest("bot", **wish)).migration

    @property
    def _keys(self) -> Keys:
        return Keys.REASSIGN if self.keys_are_given else Keys.KEEP

    def complete(self, **changes: Any) -> Migration:
        """A migration that has run to its end."""
        migration = self.start(**changes)
        self.deliver()
        return self.now(migration)

    def start_at(self, phase: Phase, **changes: Any) -> Migration:
        """A migration whose next task is ``phase``."""
        migration = self.start(**changes)
        self.deliver(before=names.phase_task(phase))
        return self.now(migration)

    def now(self, migration: Migration) -> Migration:
        return self.store.migration(migration.id)

    @property
    def bot(self) -> Bot:
        return self.store.bot("bot")

    def told(self, migration: Migration) -> list[str]:
        """Names of its events."""
        return [event.name for event in self.store.events(migration.id)]

    def errand(self) -> Errand:
        """What somebody asks of the bot's provider, outside of any migration."""
        return Errand.of(self.services, self.bot)

    def run_of(self, migration: Migration) -> Run:
        """What a phase is given, outside any task."""
        now = self.now(migration)
        beat = Beat(lambda: self.store.heartbeat(now.id, now.epoch), every_seconds=-1.0)
        return Run(self.services, now, self.store.bot(now.bot_id), beat)

    # --- what those do who write through us ---------------------------------------

    def upsert(self, *keys: Key, text: str = "") -> Written:
        """Chunks of these keys, each with its key as text unless told otherwise."""
        fields = [{"text": text or f"text of {key}", "page": 1} for key in keys]
        writes = [Write(WriteKind.UPSERT, k, f) for k, f in zip(keys, fields, strict=True)]
        return self.writers.write(OWNER, "bot", writes)

    def delete(self, *keys: Key) -> Written:
        return self.writers.write(OWNER, "bot", [Write(WriteKind.DELETE, key) for key in keys])

    def apply(self) -> None:
        """What a worker does that was woken."""
        apply_journal(self.services, "bot")

    # --- what foreign writers do, and what is there -------------------------------

    def write(self, key: Key, text: str, *, collection: str = SOURCE, **fields: Any) -> None:
        """Insert or replace a chunk, embedded by the model that ``collection`` is made for."""
        ref = SMALL if collection == SOURCE else LARGE
        row = {**row_of(key, text, ref), **fields}
        if self.in_a_table:
            self.tables.texts[str(key)] = row.pop("text")
        self.vectors.put(collection, row)

    def double(self, key: Key, text: str, *, collection: str) -> None:
        """What Milvus does: a second row of a key that is there."""
        ref = SMALL if collection == SOURCE else LARGE
        row = row_of(key, text, ref)
        if self.in_a_table:
            del row["text"]
        self.vectors.double(collection, row)

    def texts_of(self, collection: str) -> dict[Key, str]:
        return {chunk.key: self._text_of(chunk) for chunk in self._chunks(collection)}

    def _text_of(self, chunk: Chunk) -> str:
        if self.in_a_table:
            return self.tables.texts.get(str(chunk.key), "")
        return str(chunk.fields["text"])

    def contents(self, collection: str) -> dict[Key, tuple[dict[str, Any], bytes]]:
        """All there is, bit for bit."""
        return {c.key: (dict(c.fields), c.vector.tobytes()) for c in self._chunks(collection)}

    def wrongly_embedded(self, collection: str, ref: EmbeddingRef) -> list[Key]:
        """Keys whose vector is not that of their own text by this model."""
        return [
            chunk.key
            for chunk in self._chunks(collection)
            if not np.array_equal(chunk.vector, vector_in(ref, self._text_of(chunk)))
        ]

    def _chunks(self, collection: str) -> list[Any]:
        schema = self.vectors.describe(collection)
        pages = self.vectors.scan_rows(schema, with_vectors=True)
        return [c for page in pages for c in page]

    # --- playing Celery -----------------------------------------------------------

    def deliver(self, *, before: str | None = None, chooser: random.Random | None = None) -> None:
        """Run what was sent until nothing is left, or the next task is called ``before``.

        With ``chooser`` the tasks come in any order.
        """
        while tasks := self.pending():
            place = chooser.randrange(len(tasks)) if chooser else 0
            if tasks[place].name == before:
                return
            self.work(self.queue.pop(place))

    def pending(self) -> list[Task]:
        """The queue, with what was sent meanwhile."""
        while self.dispatcher.sent:
            self.queue += tasks_of(self.conductor, self.dispatcher.sent.pop(0))
        while self.dispatcher.woken:
            self.queue.append(_applying(self.services, self.dispatcher.woken.pop(0)))
        return self.queue

    def work(self, task: Task) -> None:
        """Run one task as a worker does: its successor is sent unless it raised."""
        self.ran.append(task.name)
        try:
            task.call()
        except (WorkerKilled, PutDown):
            self.queue.append(task)  # acknowledged late, so the broker gives it to another
        except Exception as error:
            self.failures.append((task.name, error))
        else:
            follower = task.successor()
            self.queue += [follower] if follower else []

    def settle(self, rounds: int = 60) -> None:
        """Deliver and let the watchdog look until nobody has anything to do."""
        for _ in range(rounds):
            self.deliver()
            if not self.driven():
                return
            self.look_later()
        raise AssertionError(f"still {[(m.status, m.phase, m.error) for m in self.driven()]}")

    def driven(self) -> list[Migration]:
        return [m for m in self.store.active() if m.status in DRIVEN]

    def look_later(self) -> None:
        """The watchdog, after the silence that makes it act and again when its message is due."""
        self.clock.sleep(self.services.settings.stalled_after_seconds + 1)
        self.watchdog.look()
        self.clock.sleep(FORGOTTEN_AFTER_SECONDS)
        self.watchdog.look()

    def elsewhere(self, action: Callable[[], object]) -> None:
        """Do it in another worker, while this one stands where it is."""
        raised: list[BaseException] = []

        def body() -> None:
            try:
                action()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if raised:
            raise raised[0]

    @contextmanager
    def at(self, point: str, *actions: Callable[[], object]) -> Iterator[None]:
        """The first times that a failpoint is reached, do these, one each."""
        waiting = list(actions)

        def reached(name: str, facts: Mapping[str, Any]) -> None:
            if name == point and waiting:
                waiting.pop(0)()

        with failpoints_reach(reached):
            yield


@contextmanager
def failpoints_reach(reached: Callable[[str, Mapping[str, Any]], None]) -> Iterator[None]:
    """Call ``reached`` with the name and facts of every failpoint, in this process."""

    def ask(address: str, name: str, facts: dict[str, Any]) -> dict[str, Any]:
        reached(name, facts)
        return {"action": "go"}

    before = failpoints._ADDRESS, failpoints._ask
    failpoints._ADDRESS, failpoints._ask = "this process", ask
    try:
        yield
    finally:
        failpoints._ADDRESS, failpoints._ask = before


def _applying(services: Services, bot_id: str) -> Task:
    return Task(names.APPLY_JOURNAL, lambda: apply_journal(services, bot_id))


def kill() -> None:
    raise WorkerKilled


def tasks_of(conductor: Conductor, message: Mapping[str, Any]) -> list[Task]:
    """The tasks at the head of the message's canvas."""
    canvas = canvas_of(message)
    chained = [_task(conductor, message, link) for link in canvas.then]
    head = replace(chained[0], then=tuple(chained[1:]))
    if not canvas.together:
        return [head]
    chord = Chord({link.arguments["index"] for link in canvas.together}, head)
    return [
        replace(_task(conductor, message, link), chord=chord, part=link.arguments["index"])
        for link in canvas.together
    ]


def _task(conductor: Conductor, message: Mapping[str, Any], link: Link) -> Task:
    return Task(link.task, _call(conductor, message, link))


def _call(conductor: Conductor, message: Mapping[str, Any], link: Link) -> Callable[[], object]:
    """What the worker's task of this name does."""
    of = (UUID(message["migration_id"]), message["epoch"])
    given = link.arguments
    calls: dict[str, Callable[[], object]] = {
        names.CATCH_UP: lambda: conductor.catch_up(*of),
        names.QUIESCE: lambda: conductor.quiesce(*of),
        names.FINISH_ROLLBACK: lambda: conductor.finish_rollback(*of),
        names.ADVANCE: lambda: conductor.advance(*of, given["wave"]),
        names.BATCH: lambda: conductor.run_batch(
            *of, given["index"], KeyRange(given["after"], given["upto"])
        ),
    }
    for phase in Phase:
        calls[names.phase_task(phase)] = lambda p=phase: conductor.run_phase(*of, p)  # type: ignore[misc]
        calls[names.undo_task(phase)] = lambda p=phase: conductor.undo_phase(*of, p)  # type: ignore[misc]
    return calls.get(link.task) or chore(conductor._services, message)[1]


def row_of(key: Key, text: str, ref: EmbeddingRef) -> dict[str, Any]:
    vector = vector_in(ref, text)
    return {"pk": key, "text": text, "page": 1, "vector": vector}


def _settings(changes: Mapping[str, Any]) -> Settings:
    """Small waves: a dozen chunks go through all that many would."""
    return Settings(
        **{
            "database_url": "postgresql+psycopg2://nobody@nowhere/none",
            "redis_url": "redis://nowhere/0",
            "milvus_uri": "http://nowhere",
            "wave_size": 2,
            "compare_concurrency": 1,  # or a seeded history could not be replayed
            "alias_drain_seconds": 0,  # phases take as long as a test lets them
            "hold_hours": 0,  # what is undone is gone, unless a test is about holding
            "_env_file": None,
            **changes,
        }
    )


#: A migration in one of these has ended.
ENDED = frozenset({Status.COMPLETED, Status.ROLLED_BACK, Status.FAILED, Status.NEEDS_OPERATOR})
