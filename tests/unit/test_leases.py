"""Work for one at a time: waited for, refused, kept by the pulse, and given back."""

from __future__ import annotations

import pytest

from migrations.model.errors import StateStoreUnavailable, Superseded, SweepPostponed
from migrations.model.runs import RunnerLease
from migrations.model.states import Phase
from migrations.process.leases import holding
from tests.fakes.clock import FakeClock
from tests.fakes.state_store import FakeMigrationStore
from tests.fakes.world import World


def begun() -> tuple[World, RunnerLease]:
    world = World()
    return world, RunnerLease(world.start_at(Phase.BACKUP_CREATION).id, 1)


def test_nobody_else_has_the_lease_during_the_block_and_anybody_after_it() -> None:
    world, lease = begun()
    with holding(world.services, lease) as (holder, beat):
        beat.must_go_on()
        assert world.store.take_lease(lease, holder, 60)
        assert not world.store.take_lease(lease, "another", 60)
    assert world.store.take_lease(lease, "another", 60)


def fails_while_holding(world: World, lease: RunnerLease) -> None:
    with holding(world.services, lease):
        raise ZeroDivisionError


def test_a_block_that_fails_gives_the_lease_back() -> None:
    world, lease = begun()
    with pytest.raises(ZeroDivisionError):
        fails_while_holding(world, lease)
    assert world.store.take_lease(lease, "another", 60)


def test_who_cannot_give_it_back_lets_it_end_by_itself() -> None:
    world, lease = begun()
    with holding(world.services, lease):
        world.store.reachable = False
    world.store.reachable = True
    assert not world.store.take_lease(lease, "another", 60)
    world.clock.sleep(world.services.settings.stalled_after_seconds + 2)
    assert world.store.take_lease(lease, "another", 60)


def test_what_another_one_holds_is_waited_for() -> None:
    world, lease = begun()
    assert world.store.take_lease(lease, "another", 3)
    with holding(world.services, lease, patience_seconds=5) as (holder, _):
        assert world.store.take_lease(lease, holder, 60)


@pytest.mark.parametrize("taken", [None, SweepPostponed("Another one is at it.")])
def test_what_another_one_holds_for_longer_is_refused_as_asked(
    taken: SweepPostponed | None,
) -> None:
    world, lease = begun()
    assert world.store.take_lease(lease, "another", 60)
    with pytest.raises(type(taken) if taken else Superseded):
        holding(world.services, lease, patience_seconds=5, taken=taken).__enter__()
    assert not world.store.take_lease(lease, "a third", 60)


def test_what_nobody_may_do_any_more_is_not_waited_for() -> None:
    world, lease = begun()
    world.store.redrive(lease.migration_id, 1)
    before = world.clock.monotonic()
    with pytest.raises(Superseded):
        holding(world.services, lease, patience_seconds=5, taken=SweepPostponed()).__enter__()
    assert before == world.clock.monotonic()


def test_whoever_lost_the_lease_hears_of_it() -> None:
    world, lease = begun()
    with holding(world.services, lease) as (holder, beat):
        world.store.release_lease(lease, holder)
        assert world.store.take_lease(lease, "another", 60)
        with pytest.raises(Superseded):
            beat.must_go_on()
    assert not world.store.take_lease(lease, "a third", 60)


class AwayForAMoment(FakeMigrationStore):
    """PostgreSQL does not answer the first who asks for a lease."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.asked = 0

    def take_lease(self, *args: object) -> bool:  # type: ignore[override]  # handed through
        self.asked += 1
        if self.asked == 1:
            raise StateStoreUnavailable
        return super().take_lease(*args)  # type: ignore[arg-type]  # as above


def test_an_outage_of_a_moment_is_no_refusal() -> None:
    world = World(store_class=AwayForAMoment)
    lease = RunnerLease(world.start_at(Phase.VALIDATION).id, 1)
    with holding(world.services, lease):
        assert not world.store.take_lease(lease, "another", 60)
