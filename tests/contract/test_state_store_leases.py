"""Who alone may do some work for a migration: taken, kept, released, over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrations.model.runs import Lease, RunnerLease, SweeperLease
from migrations.model.states import Phase, Status
from tests.contract.state_store_world import UNKNOWN, World


def a_runners(state: World) -> Lease:
    return RunnerLease(state.start().id, 1)


def a_sweepers(state: World) -> Lease:
    return SweeperLease(state.reach(Status.COMPLETED).id)


either = pytest.mark.parametrize("a_lease", [a_runners, a_sweepers])


@either
def test_one_holds_a_lease_until_it_ends(state: World, a_lease: Callable[[World], Lease]) -> None:
    lease, take = a_lease(state), state.store.take_lease
    assert take(lease, "me", 10)
    assert take(lease, "me", 10)
    assert not take(lease, "you", 10)
    state.pass_time(11)
    assert take(lease, "you", 10)
    assert not take(lease, "me", 10)


@either
def test_a_released_lease_makes_room_and_nobody_releases_anothers(
    state: World, a_lease: Callable[[World], Lease]
) -> None:
    lease, take = a_lease(state), state.store.take_lease
    assert take(lease, "me", 10)
    state.store.release_lease(lease, "you")
    assert not take(lease, "you", 10)
    state.store.release_lease(lease, "me")
    assert take(lease, "you", 10)


@either
def test_who_holds_a_lease_does_not_decide_whether_it_allows_anybody(
    state: World, a_lease: Callable[[World], Lease]
) -> None:
    lease = a_lease(state)
    assert state.store.allows(lease)
    assert state.store.take_lease(lease, "me", 10)
    assert state.store.allows(lease)


def test_a_migration_may_be_run_by_one_and_swept_by_another(state: World) -> None:
    migration = state.reach(Status.SWITCHED)
    assert state.store.take_lease(RunnerLease(migration.id, 1), "me", 10)
    assert state.store.take_lease(SweeperLease(migration.id), "you", 10)
    state.store.release_lease(RunnerLease(migration.id, 1), "you")
    assert not state.store.take_lease(RunnerLease(migration.id, 1), "you", 10)


def test_a_runner_that_takes_or_keeps_its_lease_is_a_sign_of_life(state: World) -> None:
    lease = RunnerLease(state.start().id, 1)
    for _ in range(2):
        assert state.store.take_lease(lease, "me", 60)
        state.pass_time(30)
        assert [lease.migration_id] == [migration.id for migration in state.store.stalled(20)]
        assert state.store.take_lease(lease, "me", 60)
        assert [] == state.store.stalled(20)


@pytest.mark.parametrize("status", list(Status))
def test_only_what_a_switch_left_behind_may_be_swept(state: World, status: Status) -> None:
    migration = state.reach(status)
    switched = status in {Status.SWITCHED, Status.COMPLETED}
    assert switched is state.store.allows(SweeperLease(migration.id))
    assert switched is state.store.take_lease(SweeperLease(migration.id), "me", 60)


def test_while_a_rollback_lives_only_it_may_sweep_and_only_while_it_runs(state: World) -> None:
    forward = state.reach(Status.COMPLETED)
    back = state.start_back(forward)
    assert not state.store.allows(SweeperLease(forward.id))
    assert not state.store.allows(SweeperLease(forward.id, back.id))
    state.drive(back, Phase.DATA_MIGRATION)
    assert state.store.allows(SweeperLease(forward.id, back.id))
    assert state.store.take_lease(SweeperLease(forward.id, back.id), "it", 60)
    assert not state.store.allows(SweeperLease(forward.id, UNKNOWN))
    state.store.release_lease(SweeperLease(forward.id), "it")
    state.store.request_cancel(back.id, "somebody")
    assert not state.store.allows(SweeperLease(forward.id, back.id))
    state.store.finish_rollback(back.id, 2)
    assert state.store.allows(SweeperLease(forward.id))
