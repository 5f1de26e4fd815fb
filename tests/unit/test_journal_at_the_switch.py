"""Whoever writes through us loses nothing at a switch or on the way back, and is never refused."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from migrations.copying.comparison import PassResult
from migrations.model.chunks import Key
from migrations.model.errors import TextRefused, VectorStoreUnavailable
from migrations.model.runs import ApplierLease
from migrations.model.states import Phase, Status
from migrations.phases import finalization
from migrations.run.run import Run
from tests.fakes.embedders import LARGE
from tests.fakes.world import OWNER, World, failpoints_reach, kill

#: Where writers come while a run is about to switch.
POINTS = [
    "finalization.before_run",
    "finalization.writes_held",
    "finalization.before_intent",
    "finalization.before_switch",
    "finalization.after_switch",
    "finalization.after_alias",
]
CLEANUP = "migrations.phase.cleanup"


def live_texts(world: World) -> dict[Key, str]:
    return world.texts_of(world.bot.live.collection)


def write_and_try_to_apply(world: World) -> None:
    """Somebody writes, and a worker that is woken does what it may."""
    world.upsert("k000", "new", text="written at the switch")
    world.delete("k001")
    world.elsewhere(world.apply)


@pytest.mark.parametrize("point", POINTS)
def test_what_is_written_at_the_switch_stands_in_the_new_collection(point: str) -> None:
    world = World(4)
    world.start_at(Phase.FINALIZATION)
    with world.at(point, lambda: write_and_try_to_apply(world)):
        world.deliver(before=CLEANUP)  # which would look for what was left behind
    world.apply()
    assert {"k000": "written at the switch", "k002": "text 2", "k003": "text 3"} | {
        "new": "written at the switch"
    } == live_texts(world)
    assert [] == world.wrongly_embedded(world.bot.live.collection, LARGE)
    assert 2 == world.bot.live.generation


def test_nothing_is_applied_between_the_last_comparison_and_the_switch() -> None:
    world = World(4)
    source = world.bot.live.collection
    world.start_at(Phase.FINALIZATION)
    with world.at("finalization.before_intent", lambda: write_and_try_to_apply(world)):
        world.deliver(before=CLEANUP)
    assert world.bot.live.collection != source
    assert "new" not in world.texts_of(source)


@pytest.fixture
def while_comparing(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What is done when the last comparison has read everything, once each."""
    actions: list[Callable[[], object]] = []
    original = finalization.catch_up_last

    def comparing(run: Run) -> PassResult:
        result = original(run)
        while actions:
            actions.pop(0)()
        return result

    monkeypatch.setattr(finalization, "catch_up_last", comparing)
    return actions


def test_what_is_applied_while_everything_is_compared_is_carried_over_before_the_switch(
    while_comparing: list[Callable[[], object]],
) -> None:
    world = World(4)
    source = world.bot.live.collection
    migration = world.start_at(Phase.FINALIZATION)
    while_comparing.append(lambda: write_and_try_to_apply(world))
    world.deliver(before=CLEANUP)
    assert "written at the switch" == world.texts_of(source)["new"]
    assert world.texts_of(source) == live_texts(world)
    assert [] == world.wrongly_embedded(world.bot.live.collection, LARGE)
    # And its old content is nobody's late write.
    world.upsert("new", "k000", text="newer")
    world.delete("k002")
    world.deliver()
    swept = world.system.sweep(migration.id)
    assert swept is not None
    assert (0, 0) == (swept.found, swept.conflicts)
    assert ("newer", False) == (live_texts(world)["new"], "k002" in live_texts(world))
    assert [] == [w for w in world.now(migration).warnings if "counted" in w]


def test_what_is_applied_in_many_portions_is_carried_over_in_rounds(
    while_comparing: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(4)
    source = world.bot.live.collection
    world.start_at(Phase.FINALIZATION)
    monkeypatch.setattr(finalization, "FEW_KEYS", 2)
    many = [f"new{n}" for n in range(9)]

    def again() -> None:
        world.upsert(*many[:3], text="in the second round")
        world.elsewhere(world.apply)

    def first() -> None:
        world.upsert(*many)
        world.elsewhere(world.apply)
        world.vectors.before("fetch", again)

    while_comparing.append(first)
    world.deliver(before=CLEANUP)
    assert world.texts_of(source) == live_texts(world)
    assert "in the second round" == live_texts(world)["new0"]


def test_a_text_that_the_new_model_refuses_ends_the_run_also_when_it_came_at_last(
    while_comparing: list[Callable[[], object]],
) -> None:
    world = World(4)
    source = world.bot.live.collection
    migration = world.start_at(Phase.FINALIZATION)

    def poison() -> None:
        world.embedders.fail(TextRefused("No."), times=None, containing="poison", model="large")
        world.upsert("new", text="poison")
        world.elsewhere(world.apply)

    while_comparing.append(poison)
    world.deliver()
    ended = world.now(migration)
    assert (Status.ROLLED_BACK, "too-many-failed-chunks") == (ended.status, ended.error["code"])
    assert (source, "poison") == (world.bot.live.collection, world.texts_of(source)["new"])


def test_what_is_carried_over_survives_a_crash_of_milvus(
    while_comparing: list[Callable[[], object]],
) -> None:
    world = World(4)
    source = world.bot.live.collection
    migration = world.start_at(Phase.FINALIZATION)
    while_comparing.append(lambda: write_and_try_to_apply(world))
    with world.at("finalization.before_switch", world.vectors.crash):
        world.deliver()
    assert "written at the switch" == world.texts_of(source)["new"] == live_texts(world)["new"]
    assert 0 == world.store.count_conflicts("bot")
    assert Status.COMPLETED is world.now(migration).status


def test_whoever_is_in_the_middle_of_it_is_waited_for_and_found() -> None:
    world = World(4)
    source = world.bot.live.collection
    world.start_at(Phase.FINALIZATION)
    world.upsert("new", text="in the middle of it")
    waited: list[bool] = []

    def switching() -> None:
        """The run comes to its end while a worker stands between writing and telling."""
        migration = world.store.live("bot")
        assert migration is not None
        waited.append(world.store.hold_journal(migration.id, migration.epoch))

    with world.at("journal.before_advance", switching):
        world.apply()
    assert [False] == waited
    assert 1 == world.store.journal("bot").applied
    world.deliver()
    assert "in the middle of it" == world.texts_of(source)["new"] == live_texts(world)["new"]


def test_one_who_died_in_the_middle_of_it_holds_nobody_up_for_long() -> None:
    world = World(4)
    world.start_at(Phase.FINALIZATION)
    world.upsert("new", text="of one who died")
    assert world.store.take_lease(ApplierLease("bot"), "the dead one", 13)
    begun = world.clock.monotonic()
    world.deliver()
    assert ("of one who died", 1) == (live_texts(world)["new"], world.store.journal("bot").applied)
    assert 13 <= world.clock.monotonic() - begun < 20


def test_one_who_has_written_to_the_old_collection_when_it_is_left_has_it_done_again() -> None:
    """He stood still for so long that nobody waited for him."""
    world = World(4)
    world.start_at(Phase.FINALIZATION)

    def meanwhile() -> None:
        world.clock.sleep(60)
        world.elsewhere(lambda: world.deliver(before=CLEANUP))

    world.upsert("new", text="late")
    world.dispatcher.woken.clear()
    world.vectors.before("upsert", meanwhile)
    world.apply()
    assert "new" not in live_texts(world)
    assert 0 == world.store.journal("bot").applied
    world.deliver()
    assert "late" == live_texts(world)["new"]


def test_while_milvus_is_away_at_the_switch_what_is_written_may_be_applied(
    while_comparing: list[Callable[[], object]],
) -> None:
    world = World(4)
    source = world.bot.live.collection
    world.start_at(Phase.FINALIZATION)
    away = VectorStoreUnavailable("Milvus does not answer.")
    failed: list[bool] = []
    seen: list[bool] = []
    wait = world.clock.sleep

    def fail() -> None:
        failed.append(True)
        world.vectors.fail("flush", away)

    def sleep(seconds: float) -> None:
        if failed and not seen:
            seen.append(world.store.allows(ApplierLease("bot")))
        wait(seconds)

    world.clock.sleep = sleep  # type: ignore[method-assign]
    while_comparing.append(lambda: write_and_try_to_apply(world))
    with world.at("finalization.writes_held", fail, fail):
        world.deliver()
    world.settle()
    assert [True] == seen
    assert world.bot.live.collection != source
    assert "written at the switch" == live_texts(world)["new"]


def test_a_run_that_dies_at_the_switch_lets_go_of_the_journal() -> None:
    world = World(4)
    source = world.bot.live.collection
    migration = world.start_at(Phase.FINALIZATION)
    with world.at("finalization.before_intent", kill):
        world.work(world.pending().pop(0))
    world.upsert("new")
    world.apply()
    assert "new" not in world.texts_of(source)
    world.system.cancel_migration(migration.id, by="somebody")
    world.apply()
    assert "new" in world.texts_of(source)
    world.settle()
    assert Status.ROLLED_BACK is world.now(migration).status


def test_what_is_written_before_and_after_a_rollback_stands_in_the_old_collection() -> None:
    world = World(4)
    source = world.bot.live.collection
    migration = world.complete()
    world.upsert("of the new side", text="new side")
    world.delete("k000")
    world.deliver()
    world.system.rollback(OWNER, migration.id)
    with world.at("finalization.writes_held", lambda: write_and_try_to_apply(world)):
        world.deliver()
    world.upsert("last")
    world.deliver()
    assert source == world.bot.live.collection
    assert {
        "k000": "written at the switch",
        "k002": "text 2",
        "k003": "text 3",
        "of the new side": "new side",
        "new": "written at the switch",
        "last": "text of last",
    } == live_texts(world)


class Writer:
    """Writes wherever it is let, and knows what must be there in the end."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.log = live_texts(world)
        self.writes = 0

    def write(self) -> None:
        self.writes += 1
        key = f"k{self.random.randrange(8):03}"
        if self.random.random() < 0.3:
            self.world.delete(key)
            self.log.pop(key, None)
        else:
            text = f"write {self.writes}"
            self.world.upsert(key, text=text)
            self.log[key] = text

    def maybe(self, killing: bool) -> None:
        """At a failpoint: a few writes, an applier beside, and now and then a death."""
        if self.random.random() < 0.4:
            for _ in range(self.random.randrange(3)):
                self.write()
        if self.random.random() < 0.2:
            self.world.elsewhere(self.world.apply)
        if killing and self.random.random() < 0.03:
            kill()


@pytest.mark.parametrize("seed", range(12))
def test_the_final_state_is_the_writers_log_wherever_they_write_and_whoever_dies(seed: int) -> None:
    world = World(6)
    writer = Writer(world, seed)
    _with_writer(world, writer, lambda: world.start())
    migration = world.store.latest("bot")
    assert migration is not None
    if migration.status is Status.COMPLETED:
        _with_writer(world, writer, lambda: world.system.rollback(OWNER, migration.id))
    _apply_all(world)
    assert writer.log == live_texts(world)
    assert writer.writes == world.store.journal("bot").applied
    assert 0 == world.store.count_conflicts("bot")


def _with_writer(world: World, writer: Writer, begin: Callable[[], object]) -> None:
    busy: list[bool] = []

    def reached(name: str, facts: object) -> None:
        if busy:
            return
        busy.append(True)
        try:
            writer.maybe(killing=not name.startswith("journal"))
        finally:
            busy.clear()

    begin()
    with failpoints_reach(reached):
        for _ in range(40):
            world.deliver()
            if not world.driven():
                break
            world.look_later()
    world.settle()


def _apply_all(world: World) -> None:
    for _ in range(10):
        world.clock.sleep(20)
        world.watchdog.look()
        world.deliver()
