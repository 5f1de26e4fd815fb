"""Whatever happens in whatever order, a bot ends with all its chunks and one embedding.

Each seed is one history: tasks are delivered, doubled, dropped and re-ordered,
workers die and stand still, Redis forgets, PostgreSQL loses replies, providers
and Milvus fail, writers write and operators cancel. Then all is calm, and the
oracle looks. ``pytest -k "seed-17"`` plays the history of seed 17 again, and
``SIMULATION_SEEDS=5000`` plays more of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from devstack.provider import vector_for
from migrations.model import task_names as names
from migrations.model.errors import (
    CheckpointsUnavailable,
    DimensionMismatch,
    InvalidVectors,
    ProviderAuthenticationFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    StateStoreUnavailable,
    TransitionRefused,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.ports.clock import Clock
from tests.fakes.checkpoints import FakeCheckpoints
from tests.fakes.state_store import FakeMigrationStore
from tests.fakes.world import ENDED, OWNER, SOURCE, Task, World, failpoints_reach, kill

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "200"))
TERMINAL_EVENTS = {"completed", "rolled_back", "failed", "operator_needed"}
FINALIZATION = names.phase_task(Phase.FINALIZATION)
#: Calls of Milvus that may fail in passing.
CALLS = ["describe", "read", "fetch", "scan", "scan_keys", "count", "upsert", "delete", "search"]
CALLS += ["create_like", "owner_tag", "aliases_of", "drop", "point_alias", "resolve_alias", "flush"]
CALLS += ["begin_loading", "load", "is_loaded", "index_state"]


class FlakyStore(FakeMigrationStore):
    """The next ``outages`` transactions fail; the next ``lost_replies`` fail after their commit."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.outages = self.lost_replies = 0
        self._depth = 0

    @contextmanager
    def _transaction(self) -> Iterator[datetime]:
        outermost = self._depth == 0
        if outermost and self.outages:
            self.outages -= 1
            raise StateStoreUnavailable
        self._depth += 1
        try:
            with super()._transaction() as now:
                yield now
        finally:
            self._depth -= 1
        if outermost and self.lost_replies:
            self.lost_replies -= 1
            raise StateStoreUnavailable


class FlakyCheckpoints(FakeCheckpoints):
    """The next ``outages`` calls fail."""

    outages = 0

    @contextmanager
    def _answering(self) -> Iterator[None]:
        if self.outages:
            self.outages -= 1
            raise CheckpointsUnavailable
        with super()._answering():
            yield


class History:
    """One seed's world and what is done to it."""

    in_a_table = False

    def __init__(self, seed: int) -> None:
        self.chooser = random.Random(seed)
        random.seed(seed)  # the jitter of pauses
        self.world = World(
            self.chooser.choice([0, 1, 5, 14]),
            settings={"wave_size": self.chooser.choice([1, 2]), "verify_sample": 20},
            store_class=FlakyStore,
            checkpoints_class=FlakyCheckpoints,
            in_a_table=self.in_a_table,
        )
        #: What writers were told is written: key to text and page.
        self.written = self.there_is(SOURCE)
        self.done: list[str] = []
        self.finalizing = 0
        self.depth = 0
        #: How likely something happens at each point within some work.
        self.trouble = self.chooser.choice([0.02, 0.08, 0.2])
        self.migration = self.world.start(
            timeout_seconds=self.chooser.choice([90, 3600, 3600]), retry_delay=0.5
        )

    def happens(self, chances: Mapping[Callable[[], None], int]) -> None:
        action = self.chooser.choices(list(chances), list(chances.values()))[0]
        self.done.append(action.__name__)
        action()

    def live_through(self) -> None:
        chances: dict[Callable[[], None], int] = {
            self.deliver: 60,
            self.double: 4,
            self.drop: 3,
            self.watch: 4,
            self.write: 6,
            self.fail_in_passing: 4,
            self.lose_redis: 1,
            self.cancel: 1 if self.chooser.random() < 0.2 else 0,
            self.fail_for_good: 1 if self.chooser.random() < 0.2 else 0,
            self.roll_back: 6,
        }
        with failpoints_reach(self.reached):
            for _ in range(self.chooser.choice([20, 60, 120])):
                self.happens(chances)
        self.calm_down()

    def reached(self, point: str, facts: Mapping[str, Any]) -> None:
        """In the midst of some work."""
        if point.startswith("watchdog."):  # a thread of its own, which no task dies with
            return
        if self.chooser.random() > self.trouble or self.depth > 2:
            return
        self.done.append(f"at {point}:")
        self.happens(
            {
                self.die: 0 if self.is_late_creation(point, facts) else 2,
                self.stand_still: 3,
                self.write: 3,
                self.lose_redis: 1,
                self.fail_in_passing: 2,
                self.cancel: 1 if self.chooser.random() < 0.1 else 0,
            }
        )

    def is_late_creation(self, point: str, facts: Mapping[str, Any]) -> bool:
        """Milvus made the target for a worker whose run was undone meanwhile, and which drops it.

        Should that worker die just then, the collection stays until somebody looks for it.
        """
        if point != "new_collection.after_create":
            return False
        migration = self.world.store._rows[facts["migration_id"]].migration
        return migration.status is not Status.RUNNING

    # --- what happens -------------------------------------------------------------

    def deliver(self) -> None:
        tasks = self.world.pending()
        if tasks:
            self.work(tasks.pop(self.chooser.randrange(min(len(tasks), 4))))

    def work(self, task: Task) -> None:
        self.done[-1] += f" {task}"
        self.finalizing += task.name == FINALIZATION
        self.depth += 1
        try:
            self.world.work(task)
        finally:
            self.finalizing -= task.name == FINALIZATION
            self.depth -= 1

    def double(self) -> None:
        if tasks := self.world.pending():
            tasks.append(self.chooser.choice(tasks))

    def drop(self) -> None:
        if tasks := self.world.pending():
            tasks.pop(self.chooser.randrange(len(tasks)))

    def watch(self) -> None:
        self.world.look_later()

    def stand_still(self) -> None:
        """This worker stops; the others go on, and may take its work from it."""
        depth, self.depth = self.depth, self.depth + 1

        def others() -> None:
            for _ in range(self.chooser.choice([1, 5, 40])):
                self.happens({self.deliver: 10, self.watch: 1, self.write: 1})

        self.world.elsewhere(others)
        self.depth = depth

    def die(self) -> None:
        kill()

    def lose_redis(self) -> None:
        self.world.checkpoints.lose_everything()

    def fail_in_passing(self) -> None:
        world, choose = self.world, self.chooser.choice
        times = choose([1, 1, 2, 5])
        match choose(["provider", "milvus", "redis", "postgres", "reply", "broker"]):
            case "provider":
                slow_down = ProviderRateLimited(retry_after_seconds=5.0)
                error = choose([ProviderUnavailable(), slow_down, InvalidVectors()])
                world.embedders.fail(error, times=min(times, 2))
            case "milvus":
                world.vectors.fail(choose(CALLS), VectorStoreUnavailable(), times)
            case "redis":
                world.checkpoints.outages = times
            case "postgres":
                world.store.outages = times
            case "reply":
                world.store.lost_replies = times
            case "broker":
                world.dispatcher.fails_with = CheckpointsUnavailable()
                world.watchdog.look()
                world.dispatcher.fails_with = None

    def fail_for_good(self) -> None:
        faults: list[Callable[[], None]] = [
            lambda: self.world.embedders.fail(ProviderAuthenticationFailed()),
            lambda: self.world.embedders.fail(DimensionMismatch()),
            lambda: self.world.embedders.refuse("text 1"),
            lambda: self.world.vectors.fail("upsert", VectorStoreRefused()),
            lambda: self.world.vectors.fail("create_like", VectorStoreRefused()),
            lambda: self.world.vectors.fail("drop", VectorStoreRefused(), 2),
            lambda: self.world.vectors.fail("scan", RuntimeError("a bug")),
        ]
        self.chooser.choice(faults)()

    def write(self) -> None:
        """A foreign writer's insert, update or delete, through the alias.

        Not between the last catching up and the switch: those writes are
        stragglers, which only a sweep of the old collection can find.
        """
        live = self.world.store._bots["bot"].live
        if self.finalizing and live.collection != self.now().target_collection:
            return
        key = f"k{self.chooser.randrange(16):03}"
        if self.chooser.random() < 0.3:
            self.world.vectors.remove(live.collection, key)
            self.written.pop(key, None)
            return
        text = f"text {self.chooser.randrange(40)}"
        vector = vector_for(live.embedding.model, text, live.embedding.dimension)
        row = {"pk": key, "page": self.chooser.randrange(3), "vector": vector}
        self.put(live.collection, row, text)
        self.written[key] = text, row["page"]

    def put(self, collection: str, row: dict[str, Any], text: str) -> None:
        self.world.vectors.put(collection, {**row, "text": text})

    def cancel(self) -> None:
        try:
            self.world.system.cancel(OWNER, "bot")
        except (TransitionRefused, StateStoreUnavailable) as error:
            self.done[-1] += f" {error.code}"

    def roll_back(self) -> None:
        if self.now().status is not Status.COMPLETED:
            return
        try:
            self.migration = self.world.system.rollback(OWNER, self.migration.id).migration
        except (TransitionRefused, StateStoreUnavailable, VectorStoreUnavailable) as error:
            self.done[-1] += f" {error.code}"

    # --- afterwards -----------------------------------------------------------------

    def now(self) -> Migration:
        return self.world.store._rows[self.migration.id].migration

    def calm_down(self) -> None:
        world = self.world
        world.store.outages = world.store.lost_replies = world.checkpoints.outages = 0
        world.vectors.recover()
        world.embedders.recover()
        world.settle()
        world.watchdog.look()

    def judge(self) -> None:
        world = self.world
        bot, latest = world.bot, world.store.latest("bot")
        assert latest is not None
        assert latest.status in ENDED - {Status.NEEDS_OPERATOR}, latest.error
        self.judge_events()
        assert bot.alias in world.vectors.aliases_of(bot.live.collection)
        assert self.written == self.there_is(bot.live.collection)
        assert [] == world.wrongly_embedded(bot.live.collection, bot.live.embedding)
        kept = {bot.live.collection} | ({bot.previous.collection} if bot.previous else set())
        assert sorted(kept) == world.vectors.names()
        switches = sum("switched" in world.told(m) for m in world.store._all())
        assert 1 + switches == bot.live.generation

    def there_is(self, collection: str) -> dict[Any, tuple[str, int]]:
        contents = self.world.contents(collection)
        return {key: (fields["text"], fields["page"]) for key, (fields, _) in contents.items()}

    def judge_events(self) -> None:
        """Each migration ended once; a completed one may be rolled back by a later one."""
        for migration in self.world.store._all():
            ends = [name for name in self.world.told(migration) if name in TERMINAL_EVENTS]
            taken_back = ["completed", "rolled_back"]
            assert ends == taken_back or len(ends) == 1, ends
            assert ends[-1] == migration.status


@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda seed: f"seed-{seed}")
def test_every_history_ends_with_all_chunks_under_one_embedding(seed: int) -> None:
    history = History(seed)
    with capture_logs():
        try:
            history.live_through()
            history.judge()
        except BaseException:
            print(f"seed {seed}:", *history.done, sep="\n  ")
            print("failures:", *history.world.failures, sep="\n  ")
            raise
