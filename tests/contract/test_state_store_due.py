"""What is due after a run has ended: claimed once, in its time, and only while it may be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from migrations.model import messages
from migrations.model.runs import Due, Migration
from migrations.model.states import Status
from tests.contract.state_store_world import HOUR, ONCE, SWEEPS, WINDOW_SECONDS, World, retired


def completed(state: World) -> Migration:
    return state.reach(Status.COMPLETED)


@dataclass(frozen=True)
class Kind:
    what: Due
    pauses: Sequence[float]
    #: A migration for which it will be due ``first_seconds`` later.
    of: Callable[[World], Migration]
    first_seconds: float
    message: Callable[[Migration, int], dict[str, Any]]


KINDS = [
    Kind(Due.SWEEP, SWEEPS, completed, 30, lambda m, n: messages.sweep(m.id, m.epoch, n)),
    Kind(Due.RETIRE, ONCE, completed, WINDOW_SECONDS, lambda m, n: messages.retire(m.id, 1, n)),
    Kind(
        Due.DROP,
        ONCE,
        retired,
        24 * HOUR,
        lambda m, n: messages.drop_kept(m.id, 1, n, m.source_collection),
    ),
]
each = pytest.mark.parametrize("kind", KINDS, ids=[kind.what for kind in KINDS])


@each
def test_it_is_claimed_once_in_its_time_and_again_after_each_pause(
    state: World, kind: Kind
) -> None:
    migration = kind.of(state)
    claimed = []
    for pause in (kind.first_seconds, *kind.pauses[1:], kind.pauses[-1]):
        for seconds in (pause - 10, 14, 0):  # a busy machine may take some of them
            state.pass_time(seconds)
            claimed.append(state.store.claim_due(kind.what, kind.pauses))
    times = len(claimed) // 3
    assert [[], [migration.id], []] * times == claimed
    said = kind.message(migration, 1)["kind"]
    sent = [message for message in state.messages(migration) if message["kind"] == said]
    assert [kind.message(migration, n + 1) for n in range(times)] == sent


@each
def test_it_is_due_again_as_soon_as_is_said(state: World, kind: Kind) -> None:
    migration = kind.of(state)
    other = kind.of(state)
    state.pass_time(kind.first_seconds + 1)
    assert {migration.id, other.id} == set(state.store.claim_due(kind.what, kind.pauses))
    state.store.due_again(kind.what, migration.id, 30)
    state.pass_time(29)
    assert [] == state.store.claim_due(kind.what, kind.pauses)
    state.pass_time(2)
    assert [migration.id] == state.store.claim_due(kind.what, kind.pauses)


def test_what_is_due_again_leaves_what_else_is_due_alone(state: World) -> None:
    migration = state.reach(Status.COMPLETED)
    state.pass_time(WINDOW_SECONDS + 1)
    for what, pauses in ((Due.SWEEP, SWEEPS), (Due.RETIRE, ONCE)):
        assert [migration.id] == state.store.claim_due(what, pauses)
    state.store.due_again(Due.RETIRE, migration.id, 100 * max(SWEEPS))
    state.pass_time(max(SWEEPS) + 1)
    assert [migration.id] == state.store.claim_due(Due.SWEEP, SWEEPS)


@pytest.mark.parametrize("kind", KINDS[:2], ids=["sweep", "retire"])
@pytest.mark.parametrize("was_claimed", [True, False])
def test_nothing_is_due_while_a_rollback_lives_and_what_was_is_when_it_is_undone(
    state: World, kind: Kind, was_claimed: bool
) -> None:
    migration = kind.of(state)
    if was_claimed:
        state.pass_time(31)
        state.store.claim_due(kind.what, kind.pauses)
    back = state.start_back(migration)
    state.pass_time(WINDOW_SECONDS + 1)
    assert [] == state.store.claim_due(kind.what, kind.pauses)
    state.store.request_cancel(back.id, "somebody")
    state.store.finish_rollback(back.id, 2)
    assert [migration.id] == state.store.claim_due(kind.what, kind.pauses)


@pytest.mark.parametrize("kind", KINDS[:2], ids=["sweep", "retire"])
def test_after_the_next_switch_it_is_due_for_the_newer_run_alone(state: World, kind: Kind) -> None:
    first = kind.of(state)
    state.pass_time(31)
    state.store.claim_due(kind.what, kind.pauses)
    second = state.complete(state.start(state.store.bot(first.bot_id)))
    state.pass_time(WINDOW_SECONDS + 1)
    assert [second.id] == state.store.claim_due(kind.what, kind.pauses)


def test_a_rollback_takes_the_sweeps_over(state: World) -> None:
    forward = state.reach(Status.COMPLETED)
    back = state.complete(state.start_back(forward))
    state.pass_time(31)
    assert [back.id] == state.store.claim_due(Due.SWEEP, SWEEPS)


def test_after_retiring_neither_sweeping_nor_retiring_is_due(state: World) -> None:
    migration = retired(state)
    for what, pauses in ((Due.SWEEP, SWEEPS), (Due.RETIRE, ONCE)):
        assert [] == state.store.claim_due(what, pauses)
    assert state.store.bot(migration.bot_id).previous is None


def test_each_collection_that_a_run_left_behind_is_dropped_in_its_own_time(state: World) -> None:
    first = state.reach(Status.COMPLETED)
    second = state.complete(state.start(state.store.bot(first.bot_id)))
    assert [second.id] == state.store.claim_due(Due.DROP, ONCE)
    state.pass_time(WINDOW_SECONDS + 1)
    assert state.store.retire(second.id, 7, "abcd", 0)
    state.store.due_again(Due.DROP, second.id, 0)
    assert [second.id] * 2 == state.store.claim_due(Due.DROP, ONCE)
    dropped = [m["collection"] for m in state.messages(second) if m["kind"] == "drop_held"]
    assert [first.source_collection] * 2 + [second.source_collection] == sorted(
        dropped, key=[first.source_collection, second.source_collection].index
    )
