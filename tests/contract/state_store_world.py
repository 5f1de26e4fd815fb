"""A state store in a test's hands: bots and migrations brought to where a test begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import DateTime, Engine, Table, text

from migrations.model.bots import Bot, LivePair, PreviousPair
from migrations.model.config import EmbeddingRef, MigrationConfig
from migrations.model.errors import PermanentError
from migrations.model.outcomes import Verified
from migrations.model.report import Report
from migrations.model.runs import Migration, NewMigration
from migrations.model.states import Kind, Phase, Status
from migrations.model.texts import FieldRecipe
from migrations.ports.state_store import MigrationStore
from migrations.store import SqlMigrationStore
from migrations.store.records import Record
from tests.fakes.clock import FakeClock
from tests.fakes.state_store import FakeMigrationStore

OLD = EmbeddingRef(provider="local", model="small", dimension=64)
NEW = EmbeddingRef(provider="local", model="large", dimension=256)
RETENTION_HOURS, HOUR = 72.0, 3600
WINDOW_SECONDS = RETENTION_HOURS * HOUR
LIMIT = 3
#: Pauses for what is due, in seconds, as the watchdog has them.
SWEEPS, ONCE = (30, 300, 3600), (0, 300)
Rows = dict[Table, list[dict[str, Any]]]


@dataclass
class World:
    store: MigrationStore
    #: Let seconds go by, in no time.
    pass_time: Callable[[float], None]
    #: Change a bot behind the store's back.
    raise_generation: Callable[[str], None]
    #: Do what makes the migration of this name, or put it there as it was made before.
    recall: Callable[[Hashable, Callable[[], Migration]], Migration] = lambda _, make: make()
    #: How often a status was reached.
    times: Counter[Status] = field(default_factory=Counter)

    def bot(self, bot_id: str = "bot", **changes: Any) -> Bot:
        return self.store.add_bot(replace(a_bot(bot_id), **changes))

    def start(self, bot: Bot | None = None, **changes: Any) -> Migration:
        bot = bot or self.bot()
        return self.store.create(a_start(bot, **changes), LIMIT)[0]

    def drive(self, migration: Migration, upto: Phase) -> Migration:
        """Complete every phase before ``upto`` and begin it, not switching on the way."""
        for phase in Phase:
            if phase in migration.completed_phases:
                continue
            begun = self.store.begin_phase(migration.id, migration.epoch, phase)
            if phase is upto:
                return begun
            self.store.complete_phase(migration.id, migration.epoch, phase)
        raise AssertionError(upto)

    def switch(self, migration: Migration) -> Bot:
        """From wherever it is through the switch."""
        begun = self.drive(migration, Phase.FINALIZATION)
        self.store.begin_switch(begun.id, begun.epoch)
        return self.store.switch(begun.id, begun.epoch, RETENTION_HOURS)

    def complete(self, migration: Migration) -> Migration:
        """From wherever it is to its end."""
        self.switch(migration)
        for phase in (Phase.FINALIZATION, Phase.CLEANUP):
            self.store.begin_phase(migration.id, migration.epoch, phase)
            self.store.complete_phase(migration.id, migration.epoch, phase)
        self.store.finish(migration.id, migration.epoch)
        return self.now(migration)

    def start_back(self, migration: Migration) -> Migration:
        """The reverse run of a completed migration, just started."""
        return self.store.create(a_reverse(self.store.bot(migration.bot_id), migration), LIMIT)[0]

    def reach(self, status: Status, **config: Any) -> Migration:
        """A migration of a new bot in ``status``, in finalization where there is a choice."""
        config = {"enable_rollback": status is not Status.FAILED, **config}
        if status is Status.WAITING:
            config["postpone"] = True
        self.times[status] += 1
        which = (status, self.times[status], *sorted(config.items()))
        return self.recall(which, lambda: self._reach(status, config))

    def _reach(self, status: Status, config: Mapping[str, Any]) -> Migration:
        migration = self.start(self.bot(f"bot-{uuid4()}"), config=a_config(**config))
        REACH[status](self, migration)
        return self.now(migration)

    def now(self, migration: Migration) -> Migration:
        return self.store.migration(migration.id)

    def told(self, migration: Migration) -> list[str]:
        """Names of the migration's events."""
        return [event.name for event in self.store.events(migration.id)]

    def messages(self, migration: Migration) -> list[dict[str, Any]]:
        """Bodies of its unsent messages."""
        return [message.body for message in self.store.unsent_of(migration.id)]


def undo_all(world: World, migration: Migration, failing: Phase | None = None) -> None:
    """Cancel it and go through its compensation."""
    turned = world.store.request_cancel(migration.id, "somebody")
    for phase in world.messages(turned)[0]["phases"]:
        failure = "it is stuck" if phase == failing else None
        world.store.record_undo(turned.id, turned.epoch, Phase(phase), failure)
    world.store.finish_rollback(turned.id, turned.epoch)


def retired(world: World) -> Migration:
    """A migration whose old collection is held for 24 hours."""
    migration = world.reach(Status.COMPLETED)
    world.pass_time(WINDOW_SECONDS)
    assert world.store.retire(migration.id, 7, "abcd", 24)
    return migration


def let_wait(world: World, migration: Migration) -> None:
    """It was to wait before its switch, and is verified."""
    begun = world.drive(migration, Phase.VERIFICATION)
    verified = Verified(report=Report())
    world.store.complete_phase(begun.id, begun.epoch, Phase.VERIFICATION, verified)


def fail_for_good(world: World, migration: Migration) -> None:
    """Turn it round although it was started without a rollback."""
    world.store.roll_back(migration.id, migration.epoch, PermanentError("It cannot be."))


def to_finalization(world: World, migration: Migration) -> Migration:
    return world.drive(migration, Phase.FINALIZATION)


def into_switching(world: World, migration: Migration) -> None:
    world.store.begin_switch(migration.id, to_finalization(world, migration).epoch)


REACH: dict[Status, Callable[[World, Migration], object]] = {
    Status.PENDING: lambda world, migration: None,
    Status.RUNNING: to_finalization,
    Status.WAITING: let_wait,
    Status.PAUSED: lambda world, migration: world.store.pause(
        to_finalization(world, migration).id, "somebody", None
    ),
    Status.SWITCHING: into_switching,
    Status.SWITCHED: World.switch,
    Status.COMPLETED: World.complete,
    Status.ROLLING_BACK: lambda world, migration: world.store.request_cancel(
        to_finalization(world, migration).id, "somebody"
    ),
    Status.ROLLED_BACK: lambda world, migration: undo_all(world, to_finalization(world, migration)),
    Status.NEEDS_OPERATOR: lambda world, migration: undo_all(
        world, to_finalization(world, migration), failing=Phase.NEW_COLLECTION_CREATION
    ),
    Status.FAILED: lambda world, migration: fail_for_good(world, to_finalization(world, migration)),
}


def a_bot(bot_id: str, previous: PreviousPair | None = None) -> Bot:
    anything = datetime(2000, 1, 1, tzinfo=UTC)
    return Bot(
        bot_id=bot_id,
        owner="owner",
        alias=f"{bot_id}_live",
        live=LivePair(collection=f"{bot_id}_g1", embedding=OLD, generation=1),
        key_field="id",
        recipe=FieldRecipe(field="text"),
        vector_field="vector",
        previous=previous,
        created_at=anything,
        updated_at=anything,
    )


def a_config(
    source: EmbeddingRef = OLD, target: EmbeddingRef = NEW, **changes: Any
) -> MigrationConfig:
    return MigrationConfig(
        bot_id="bot",
        from_provider=source.provider,
        from_model=source.model,
        from_dimension=source.dimension,
        to_provider=target.provider,
        to_model=target.model,
        to_dimension=target.dimension,
        from_manner=source.manner,
        to_manner=target.manner,
        **changes,
    )


def a_start(bot: Bot, **changes: Any) -> NewMigration:
    generation = bot.live.generation
    start = NewMigration(
        id=uuid4(),
        bot_id=bot.bot_id,
        requested_by="somebody",
        kind=Kind.FORWARD,
        config=a_config(),
        source_collection=bot.live.collection,
        target_collection=f"{bot.bot_id}_g{generation + 1}_{uuid4().hex[:8]}",
        source_generation=generation,
    )
    return replace(start, **changes)


def a_reverse(bot: Bot, migration: Migration) -> NewMigration:
    return a_start(
        bot,
        kind=Kind.REVERSE,
        config=a_config(source=migration.config.target, target=migration.config.source),
        target_collection=migration.source_collection,
        reverses=migration.id,
        target_is_kept=True,
    )


def in_memory() -> World:
    clock = FakeClock()
    store = FakeMigrationStore(clock)

    def raise_generation(bot_id: str) -> None:
        bot = store.bot(bot_id)
        live = replace(bot.live, generation=bot.live.generation + 1)
        store._bots[bot_id] = replace(bot, live=live)

    return World(store, clock.sleep, raise_generation)


def emptied(engine: Engine) -> None:
    """Take every row out of a database that has the tables."""
    # Not TRUNCATE, which makes new files: it takes longer than most of the tests.
    names = [table.name for table in reversed(Record.metadata.sorted_tables)]
    _execute(engine, [f"DELETE FROM {name}" for name in names])  # noqa: S608 # our own


@dataclass
class Memory:
    """Migrations that were brought to a status once, and are put there with their rows again.

    Each takes some twenty transactions, and hundreds of tests begin with one.
    """

    store: SqlMigrationStore
    engine: Engine
    _made: dict[Hashable, tuple[UUID, datetime, Rows]] = field(default_factory=dict)

    def recall(self, which: Hashable, make: Callable[[], Migration]) -> Migration:
        if which in self._made:
            return self._put(*self._made[which])
        _, before = self._rows()
        migration = make()
        at, after = self._rows()
        new = {
            table: [row for row in rows if row not in before[table]]
            for table, rows in after.items()
        }
        self._made[which] = migration.id, at, new
        return migration

    def _rows(self) -> tuple[datetime, Rows]:
        """Everything there is, and when it was looked at."""
        with self.engine.begin() as connection:
            rows = {
                table: [dict(row) for row in connection.execute(table.select()).mappings()]
                for table in Record.metadata.sorted_tables
            }
            return connection.execute(text("SELECT now()")).scalar_one(), rows

    def _put(self, migration_id: UUID, at: datetime, made: Rows) -> Migration:
        with self.engine.begin() as connection:
            since = connection.execute(text("SELECT now()")).scalar_one() - at
            for table, rows in made.items():
                if rows:
                    connection.execute(table.insert(), [_later(row, since) for row in rows])
        return self.store.migration(migration_id)


def _later(row: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """As if it had been written just now."""
    return {
        name: value + by if isinstance(value, datetime) else value for name, value in row.items()
    }


def on_postgres(memory: Memory) -> World:
    engine = memory.engine

    def pass_time(seconds: float) -> None:
        """PostgreSQL's clock goes on by itself; what is written moves into the past."""
        shift = f"interval '{timedelta(seconds=seconds).total_seconds()} seconds'"
        _execute(
            engine,
            [
                f"UPDATE {table.name} SET {column.name} = {column.name} - {shift}"  # noqa: S608 # our own names
                for table in Record.metadata.sorted_tables
                for column in table.columns
                if isinstance(column.type, DateTime)
            ],
        )

    def raise_generation(bot_id: str) -> None:
        raised = f"UPDATE bots SET generation = generation + 1 WHERE bot_id = '{bot_id}'"  # noqa: S608 # our own
        _execute(engine, [raised])

    return World(memory.store, pass_time, raise_generation, memory.recall)


def _execute(engine: Engine, statements: list[str]) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


UNKNOWN = UUID(int=0)
