"""What every implementation of Checkpoints promises: the fake's and Redis' alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from migrations.adapters.checkpoints.checkpoints import RedisCheckpoints
from migrations.model.chunks import CONTENT_DIGESTS, Content, Key, KeyRange
from migrations.model.errors import CheckpointsLost
from migrations.ports.checkpoints import Checkpoints, Counters, Lately, Plan, Snapshot
from tests.contract.volatile_redis import at_once
from tests.fakes.checkpoints import FakeCheckpoints
from tests.fakes.clock import FakeClock

STRINGS = ["", "007", "42", "a'b\"\\ or 1 == 1", "é", "\U0001f600"]
INTEGERS = [-(2**63), -1, 0, 42, 2**53 + 1, 2**63 - 1]

NEEDS_A_PLAN: dict[str, Callable[[Checkpoints, UUID], Any]] = {
    "append_borders": lambda c, m: c.append_borders(m, ["z"], 1),
    "seal_plan": lambda c, m: c.seal_plan(m),
    "batch_ranges": lambda c, m: c.batch_ranges(m, 0, 1),
    "undone": lambda c, m: c.undone(m, 0, 10),
    "done_count": lambda c, m: c.done_count(m),
    "note_slice": lambda c, m: c.note_slice(m, 0, Counters(1)),
    "mark_done": lambda c, m: c.mark_done(m, 0, Counters(1)),
    "content_read": lambda c, m: c.content_read(m),
    "counters": lambda c, m: c.counters(m),
    "snapshot": lambda c, m: c.snapshot(m),
}


@dataclass
class World:
    checkpoints: Checkpoints
    pass_time: Callable[[float], None]
    migration: UUID

    def planned(self, borders: list[Key]) -> Checkpoints:
        self.checkpoints.start_plan(self.migration, 50)
        self.checkpoints.append_borders(self.migration, borders, 50 * len(borders))
        self.checkpoints.seal_plan(self.migration)
        return self.checkpoints


@pytest.fixture(params=["fake", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        clock = FakeClock()
        return World(FakeCheckpoints(clock), clock.sleep, uuid4())
    server = request.getfixturevalue("redis_server")
    return World(RedisCheckpoints(server.url), time.sleep, uuid4())


@pytest.mark.parametrize("keys", [STRINGS, INTEGERS], ids=["str", "int"])
def test_a_batch_holds_the_keys_above_the_border_before_it_up_to_its_own(
    world: World, keys: list[Key]
) -> None:
    checkpoints = world.planned(keys)

    ranges = checkpoints.batch_ranges(world.migration, 0, len(keys))

    after: list[Key | None] = [None, *keys[:-1]]
    assert [KeyRange(*bounds) for bounds in zip(after, keys, strict=True)] == ranges
    assert {type(keys[0])} == {type(bounds.upto) for bounds in ranges}
    pairs = [checkpoints.batch_ranges(world.migration, batch, 2) for batch in range(len(keys))]
    assert [ranges[batch : batch + 2] for batch in range(len(keys))] == pairs


def test_a_plan_grows_page_by_page_and_is_complete_once_sealed(world: World) -> None:
    checkpoints, migration = world.checkpoints, world.migration
    seen = [checkpoints.plan(migration)]

    checkpoints.start_plan(migration, 50)
    seen.append(checkpoints.plan(migration))
    checkpoints.append_borders(migration, ["b", "d"], 100)
    checkpoints.append_borders(migration, [], 0)
    checkpoints.append_borders(migration, ["f"], 7)
    seen.append(checkpoints.plan(migration))
    sealed = checkpoints.seal_plan(migration)

    assert [None, Plan(50, 0, 0, False), Plan(50, 107, 3, False)] == seen
    assert Plan(50, 107, 3, True) == sealed == checkpoints.plan(migration)


def test_batches_planned_so_far_can_be_worked_before_the_plan_is_sealed(world: World) -> None:
    checkpoints, migration = world.checkpoints, world.migration
    checkpoints.start_plan(migration, 50)
    checkpoints.append_borders(migration, ["b", "d"], 100)

    checkpoints.mark_done(migration, 0, Counters(50))
    checkpoints.append_borders(migration, ["f"], 50)

    assert [1, 2] == checkpoints.undone(migration, 0, 10)


def test_a_plan_of_an_empty_collection_has_nothing_to_do(world: World) -> None:
    checkpoints = world.planned([])

    assert Plan(50, 0, 0, True) == checkpoints.plan(world.migration)
    assert [] == checkpoints.undone(world.migration, 0, 10)
    assert Counters() == checkpoints.counters(world.migration)


def test_starting_a_plan_again_forgets_its_borders_marks_and_counts(world: World) -> None:
    checkpoints, migration = world.planned(["b", "d"]), world.migration
    checkpoints.mark_done(migration, 1, Counters(50))

    checkpoints.start_plan(migration, 10)
    checkpoints.append_borders(migration, [3], 10)

    assert Plan(10, 10, 1, False) == checkpoints.plan(migration)
    assert [KeyRange(None, 3)] == checkpoints.batch_ranges(migration, 0, 1)
    assert [0] == checkpoints.undone(migration, 0, 10)
    assert Counters() == checkpoints.counters(migration)


@pytest.mark.parametrize("page", [["d", "c"], ["d", "d"], ["b"], ["a"]])
def test_borders_that_do_not_ascend_are_refused_and_none_is_kept(
    world: World, page: list[Key]
) -> None:
    world.checkpoints.start_plan(world.migration, 50)
    world.checkpoints.append_borders(world.migration, ["b"], 50)

    with pytest.raises(ValueError, match="ascend"):
        world.checkpoints.append_borders(world.migration, page, 50)

    assert Plan(50, 50, 1, False) == world.checkpoints.plan(world.migration)


def test_a_sealed_plan_takes_no_more_borders(world: World) -> None:
    checkpoints = world.planned(["b"])

    with pytest.raises(CheckpointsLost):
        checkpoints.append_borders(world.migration, ["d"], 50)


@pytest.mark.parametrize("method", NEEDS_A_PLAN)
def test_without_a_plan_whatever_needs_one_says_so(world: World, method: str) -> None:
    with pytest.raises(CheckpointsLost):
        NEEDS_A_PLAN[method](world.checkpoints, world.migration)

    assert world.checkpoints.plan(world.migration) is None


@pytest.mark.parametrize("batch", [-1, 2, 3])
def test_a_batch_outside_the_plan_belongs_to_another_plan(world: World, batch: int) -> None:
    checkpoints, migration = world.planned(["b", "d"]), world.migration

    for call in (
        lambda: checkpoints.batch_ranges(migration, batch, 1),
        lambda: checkpoints.note_slice(migration, batch, Counters(1)),
        lambda: checkpoints.mark_done(migration, batch, Counters(1)),
    ):
        with pytest.raises(CheckpointsLost):
            call()
    assert Counters() == checkpoints.counters(migration)


@pytest.mark.parametrize(
    ("start", "limit", "expected"),
    [(0, 10, [0, 2, 3, 5]), (0, 2, [0, 2]), (1, 2, [2, 3]), (4, 9, [5]), (6, 9, []), (0, 0, [])],
)
def test_undone_batches_are_listed_in_order_from_the_start_up_to_the_limit(
    world: World, start: int, limit: int, expected: list[int]
) -> None:
    checkpoints = world.planned(["a", "b", "c", "d", "e", "f"])
    checkpoints.mark_done(world.migration, 1, Counters(50))
    checkpoints.mark_done(world.migration, 4, Counters(50))

    assert expected == checkpoints.undone(world.migration, start, limit)
    assert 2 == checkpoints.done_count(world.migration)


def test_a_batch_marked_by_many_at_once_is_counted_once(world: World) -> None:
    checkpoints = world.planned(["b", "d"])

    answers = at_once(8, lambda: checkpoints.mark_done(world.migration, 1, Counters(48, 2, 5, 900)))

    assert [False] * 7 + [True] == sorted(map(bool, answers))
    assert Counters(48, 2, 5, 900) == checkpoints.counters(world.migration)
    assert 1 == checkpoints.done_count(world.migration)


def test_a_mark_for_another_range_than_was_worked_is_refused(world: World) -> None:
    checkpoints, migration = world.planned(["b", "d"]), world.migration
    stale = [KeyRange(None, "d"), KeyRange("a", "d"), KeyRange("b", "c"), KeyRange("", "d")]

    for worked in stale:
        with pytest.raises(CheckpointsLost):
            checkpoints.mark_done(migration, 1, Counters(50), worked=worked)
    with pytest.raises(CheckpointsLost):
        checkpoints.mark_done(migration, 0, Counters(50), worked=KeyRange("", "b"))

    assert [0, 1] == checkpoints.undone(migration, 0, 10)


@pytest.mark.parametrize("keys", [STRINGS, INTEGERS], ids=["str", "int"])
def test_a_mark_for_the_range_that_was_worked_counts(world: World, keys: list[Key]) -> None:
    checkpoints, migration = world.planned(keys), world.migration

    for batch in range(len(keys)):
        [worked] = checkpoints.batch_ranges(migration, batch, 1)
        assert checkpoints.mark_done(migration, batch, Counters(1), worked=worked)

    assert [] == checkpoints.undone(migration, 0, 10)


def test_a_batch_counts_its_latest_note_until_it_is_done_and_then_its_own_count(
    world: World,
) -> None:
    checkpoints, migration = world.planned(["b", "d"]), world.migration
    seen = []
    checkpoints.mark_done(migration, 0, Counters(50, 0, 1, 700))

    for slice_end in (10, 20, 10):
        checkpoints.note_slice(migration, 1, Counters(slice_end, 1, 2, 30))
        seen.append(checkpoints.counters(migration))
    checkpoints.mark_done(migration, 1, Counters(49, 1, 3, 800))
    checkpoints.note_slice(migration, 1, Counters(25))
    seen.append(checkpoints.counters(migration))

    assert [
        Counters(60, 1, 3, 730),
        Counters(70, 1, 3, 730),
        Counters(60, 1, 3, 730),
        Counters(99, 1, 4, 1500),
    ] == seen


def test_a_snapshot_is_the_plan_the_counters_and_what_is_done(world: World) -> None:
    checkpoints, migration = world.planned(["b", "d", "f"]), world.migration
    checkpoints.mark_done(migration, 1, Counters(49, 1, 3, 800))
    checkpoints.note_slice(migration, 0, Counters(25, tokens=7))
    seen = checkpoints.snapshot(migration)
    plan, lately = Plan(50, 150, 3, True), Lately(74, seen.lately.seconds)
    assert Snapshot(plan, Counters(74, 1, 3, 807), 1, lately) == seen
    assert checkpoints.plan(migration) == seen.plan
    assert checkpoints.counters(migration) == seen.counters


def test_what_was_moved_lately_is_counted_once_though_it_was_noted_before(world: World) -> None:
    checkpoints, migration = world.planned(["b", "d", "f"]), world.migration
    assert 0 == checkpoints.snapshot(migration).lately.chunks
    for noted in (10, 25):
        checkpoints.note_slice(migration, 0, Counters(noted))
    checkpoints.mark_done(migration, 0, Counters(50))
    checkpoints.mark_done(migration, 0, Counters(50))
    seen = checkpoints.snapshot(migration).lately
    assert (50, True) == (seen.chunks, 55 <= seen.seconds <= 60)


def test_notes_of_very_many_batches_add_up(world: World) -> None:
    checkpoints = world.planned(list(range(700)))

    for batch in range(700):
        checkpoints.note_slice(world.migration, batch, Counters(batch, 1, 2, 3))

    assert Counters(699 * 350, 700, 1400, 2100) == checkpoints.counters(world.migration)


def test_of_many_claiming_at_once_one_wins(world: World) -> None:
    checkpoints, migration = world.checkpoints, world.migration

    answers = at_once(8, lambda: checkpoints.claim(migration, "wave 3"))

    assert [False] * 7 + [True] == sorted(map(bool, answers))
    assert checkpoints.claim(migration, "wave 4")
    assert checkpoints.claim(uuid4(), "wave 3")


def test_a_claim_stands_when_the_plan_is_made_anew(world: World) -> None:
    world.checkpoints.claim(world.migration, "wave 3")

    world.planned(["b"])

    assert not world.checkpoints.claim(world.migration, "wave 3")


def test_a_held_batch_is_free_again_when_its_holder_is_done_or_fails(world: World) -> None:
    checkpoints, migration = world.checkpoints, world.migration

    with checkpoints.lease(migration, 1, 5, 60) as first:
        with checkpoints.lease(migration, 1, 5, 60) as second:
            assert (True, False) == (first, second)
        # The refused one's exit has not released it.
        assert 1 == checkpoints.in_flight(migration)
    with suppress(ZeroDivisionError), checkpoints.lease(migration, 1, 5, 60) as third:
        assert third
        raise ZeroDivisionError

    assert 0 == checkpoints.in_flight(migration)


def test_of_many_taking_a_lease_at_once_one_holds_it(world: World) -> None:
    # Kept here: a lease that is collected as garbage is released.
    leases = [world.checkpoints.lease(world.migration, 1, 5, 60) for _ in range(8)]
    untaken = iter(leases)

    taken = at_once(8, lambda: next(untaken).__enter__())

    assert [False] * 7 + [True] == sorted(map(bool, taken))


def test_batches_in_flight_are_counted_over_all_epochs(world: World) -> None:
    checkpoints, migration = world.checkpoints, world.migration

    with (
        checkpoints.lease(migration, 1, 5, 60) as zombie,
        checkpoints.lease(migration, 2, 5, 60) as successor,
        checkpoints.lease(migration, 2, 6, 60),
        checkpoints.lease(uuid4(), 1, 5, 60),
    ):
        assert (True, True) == (zombie, successor)
        assert 3 == checkpoints.in_flight(migration)


def test_a_closed_epoch_gets_no_lease_and_keeps_those_it_has(world: World) -> None:
    checkpoints, migration = world.checkpoints, world.migration
    with checkpoints.lease(migration, 1, 5, 60):
        checkpoints.close_epochs(migration, 2)
        checkpoints.close_epochs(migration, 1)  # late, and opens nothing again
        assert 1 == checkpoints.in_flight(migration)
        with (
            checkpoints.lease(migration, 1, 6, 60) as late,
            checkpoints.lease(migration, 2, 6, 60) as of_the_next,
            checkpoints.lease(uuid4(), 1, 6, 60) as of_another,
        ):
            assert (False, True, True) == (late, of_the_next, of_another)


def test_a_lease_ends_by_itself_and_its_late_holder_does_not_release_the_next(
    world: World,
) -> None:
    checkpoints, migration = world.checkpoints, world.migration

    late = checkpoints.lease(migration, 1, 5, 1)
    late.__enter__()
    world.pass_time(1.1)
    assert 0 == checkpoints.in_flight(migration)
    with checkpoints.lease(migration, 1, 5, 60) as held:
        late.__exit__(None, None, None)

        assert held
        assert 1 == checkpoints.in_flight(migration)


def test_a_forgotten_migration_has_no_plan_claims_or_leases(world: World) -> None:
    checkpoints, migration = world.planned(["b"]), world.migration
    checkpoints.claim(migration, "wave 0")

    with checkpoints.lease(migration, 1, 0, 60):
        checkpoints.forget(migration)

        assert checkpoints.plan(migration) is None
        assert 0 == checkpoints.in_flight(migration)
        assert checkpoints.claim(migration, "wave 0")


def test_the_fake_answers_every_call_as_redis_does(redis_server: Any) -> None:
    pair = (FakeCheckpoints(FakeClock()), RedisCheckpoints(redis_server.url))
    chance, migration, border = random.Random(7), uuid4(), 0

    for _ in range(400):
        border += chance.randint(1, 3)
        name, *arguments = chance.choice(
            [
                *[("mark_done", chance.randrange(12), Counters(chance.randrange(50)))] * 4,
                *[("note_slice", chance.randrange(12), Counters(chance.randrange(50)))] * 4,
                *[("append_borders", [border, border + 1], 100)] * 3,
                ("start_plan", 50),
                ("seal_plan",),
                ("plan",),
                ("batch_ranges", chance.randrange(12), chance.randint(1, 3)),
                ("undone", chance.randrange(12), chance.randrange(5)),
                ("done_count",),
                ("counters",),
                ("claim", chance.choice("ab")),
            ]
        )
        border += 1
        fake, real = (_outcome(each, name, migration, *arguments) for each in pair)
        assert fake == real, (name, arguments)


def _outcome(checkpoints: Checkpoints, name: str, *arguments: object) -> object:
    try:
        return getattr(checkpoints, name)(*arguments)
    except CheckpointsLost:
        return CheckpointsLost


def test_what_the_batches_read_is_added_up_once_for_each(world: World) -> None:
    checkpoints, migration = world.planned(["b", "d", "f"]), world.migration
    largest = CONTENT_DIGESTS - 1
    checkpoints.mark_done(migration, 0, Counters(50), read=Content(50, largest))
    checkpoints.mark_done(migration, 0, Counters(50), read=Content(50, largest))
    checkpoints.mark_done(migration, 1, Counters(50), read=Content(48, largest))
    checkpoints.mark_done(migration, 2, Counters(1))

    assert Content(50, largest) + Content(48, largest) == checkpoints.content_read(migration)
    assert Counters(101) == checkpoints.counters(migration)


def test_what_many_batches_read_does_not_overflow(world: World) -> None:
    batches = 1_000
    checkpoints = world.planned([f"{i:04d}" for i in range(batches)])
    read = Content(1, CONTENT_DIGESTS - 1)
    for batch in range(batches):
        checkpoints.mark_done(world.migration, batch, Counters(1), read=read)

    assert sum([read] * batches, Content()) == checkpoints.content_read(world.migration)


def test_a_new_plan_has_read_nothing(world: World) -> None:
    checkpoints, migration = world.planned(["b", "d"]), world.migration
    checkpoints.mark_done(migration, 0, Counters(50), read=Content(50, 7))
    checkpoints.start_plan(migration, 50)

    assert Content() == checkpoints.content_read(migration)
