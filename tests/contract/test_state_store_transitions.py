"""Every state against every operation: what it becomes, or how it is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrations.model.errors import (
    AlreadySwitched,
    NoActiveMigration,
    NotSteerable,
    NotWaiting,
    PermanentError,
    SourceChanged,
    Superseded,
    SwitchInProgress,
    TransitionRefused,
)
from migrations.model.pace import Pace
from migrations.model.runs import Migration, RunnerLease
from migrations.model.states import TRANSITIONS, Status
from tests.contract.state_store_world import RETENTION_HOURS, World

PENDING, RUNNING, SWITCHING, SWITCHED, COMPLETED, ROLLING_BACK, ROLLED_BACK, FAILED, STUCK = (
    Status.PENDING,
    Status.RUNNING,
    Status.SWITCHING,
    Status.SWITCHED,
    Status.COMPLETED,
    Status.ROLLING_BACK,
    Status.ROLLED_BACK,
    Status.FAILED,
    Status.NEEDS_OPERATOR,
)
WAITING, PAUSED = Status.WAITING, Status.PAUSED
Operation = Callable[[World, Migration], object]
#: The status afterwards (with what was answered) or the error.
Outcome = Status | tuple[Status, object] | type[Exception]

FENCED: dict[str, Operation] = {
    "begin_phase": lambda w, m: w.store.begin_phase(m.id, m.epoch, m.phase),
    "complete_phase": lambda w, m: w.store.complete_phase(m.id, m.epoch, m.phase),
    "begin_switch": lambda w, m: w.store.begin_switch(m.id, m.epoch),
    "switch": lambda w, m: w.store.switch(m.id, m.epoch, RETENTION_HOURS),
    "finish": lambda w, m: w.store.finish(m.id, m.epoch),
    "roll_back": lambda w, m: w.store.roll_back(m.id, m.epoch, PermanentError()),
    "record_undo": lambda w, m: w.store.record_undo(m.id, m.epoch, m.phase, None),
    "finish_rollback": lambda w, m: w.store.finish_rollback(m.id, m.epoch),
    "redrive": lambda w, m: w.store.redrive(m.id, m.epoch),
    "heartbeat": lambda w, m: w.store.heartbeat(m.id, m.epoch),
    "take_lease": lambda w, m: w.store.take_lease(RunnerLease(m.id, m.epoch), "me", 60),
    "keep_up": lambda w, m: w.store.keep_up(m.id, m.epoch),
    "note": lambda w, m: w.store.note(m.id, m.epoch, totals={"noted": 1}),
}
OPERATIONS: dict[str, Operation] = {
    **FENCED,
    "request_cancel": lambda w, m: w.store.request_cancel(m.id, "somebody"),
    "accept": lambda w, m: w.store.accept(m.id, "somebody", None),
    "pause": lambda w, m: w.store.pause(m.id, "somebody", None),
    "resume": lambda w, m: w.store.resume(m.id, "somebody"),
    "extend": lambda w, m: w.store.extend(m.id, 86_400, "somebody"),
    "throttle": lambda w, m: w.store.throttle(m.id, Pace(share=0.5), "somebody"),
    "repair": lambda w, m: w.store.repair(m.id),
    "reverse_run": lambda w, m: w.complete(w.start_back(m)),
    "fail_to_undo": lambda w, m: fail_to_undo(w, m),
}


def fail_to_undo(world: World, migration: Migration) -> None:
    world.store.record_undo(migration.id, migration.epoch, migration.phase, "it is stuck")
    world.store.finish_rollback(migration.id, migration.epoch)


def always(answer: Outcome) -> dict[Status, Outcome]:
    return dict.fromkeys(Status, answer)


def unchanged(answer: object) -> dict[Status, Outcome]:
    return {status: (status, answer) for status in Status}


DRIVEN_ONLY: dict[Status, Outcome] = unchanged(False) | {
    status: (status, True) for status in (PENDING, RUNNING, SWITCHING, SWITCHED, ROLLING_BACK)
}
EXPECTED: dict[str, dict[Status, Outcome]] = {
    "begin_phase": always(Superseded)
    | {PENDING: RUNNING, RUNNING: RUNNING, SWITCHING: SWITCHING, SWITCHED: SWITCHED},
    "complete_phase": always(Superseded)
    | {WAITING: WAITING, SWITCHED: SWITCHED, COMPLETED: COMPLETED},
    "begin_switch": always(Superseded)
    | {RUNNING: SWITCHING, SWITCHING: SWITCHING, SWITCHED: SWITCHED, COMPLETED: COMPLETED},
    "switch": always(Superseded) | {SWITCHING: SWITCHED, SWITCHED: SWITCHED, COMPLETED: COMPLETED},
    "finish": always(Superseded) | {SWITCHED: COMPLETED, COMPLETED: COMPLETED},
    "roll_back": unchanged(False)
    | dict.fromkeys((PENDING, RUNNING, SWITCHING), (ROLLING_BACK, True)),
    "record_undo": always(Superseded) | {ROLLING_BACK: ROLLING_BACK},
    "finish_rollback": always(Superseded)
    | {
        ROLLING_BACK: (ROLLED_BACK, ROLLED_BACK),
        ROLLED_BACK: (ROLLED_BACK, ROLLED_BACK),
        STUCK: (STUCK, STUCK),
    },
    "redrive": DRIVEN_ONLY,
    "heartbeat": DRIVEN_ONLY,
    "take_lease": DRIVEN_ONLY,
    "keep_up": unchanged(False) | {WAITING: (RUNNING, True)},
    "note": unchanged(None),
    "request_cancel": always(NoActiveMigration)
    | {
        PENDING: ROLLING_BACK,
        RUNNING: ROLLING_BACK,
        WAITING: ROLLING_BACK,
        PAUSED: ROLLING_BACK,
        ROLLING_BACK: ROLLING_BACK,
        SWITCHING: SwitchInProgress,
        SWITCHED: AlreadySwitched,
        COMPLETED: AlreadySwitched,
    },
    "accept": always(NotWaiting) | {WAITING: RUNNING},
    "pause": always(NotSteerable)
    | dict.fromkeys((PENDING, RUNNING, PAUSED), PAUSED)
    | {SWITCHING: SwitchInProgress}
    | dict.fromkeys((SWITCHED, COMPLETED), AlreadySwitched),
    "resume": always(NotSteerable) | {PENDING: PENDING, RUNNING: RUNNING, PAUSED: RUNNING},
    "extend": always(NotSteerable)
    | {status: status for status in (PENDING, RUNNING, WAITING, PAUSED)}
    | {SWITCHING: SwitchInProgress}
    | dict.fromkeys((SWITCHED, COMPLETED), AlreadySwitched),
    "throttle": always(NotSteerable)
    | {status: status for status in (PENDING, RUNNING, WAITING, PAUSED, SWITCHING, SWITCHED)}
    | {COMPLETED: AlreadySwitched},
    "repair": always(TransitionRefused) | {FAILED: ROLLING_BACK, STUCK: ROLLING_BACK},
    "reverse_run": {COMPLETED: ROLLED_BACK},
    "fail_to_undo": {ROLLING_BACK: STUCK},
}
#: The same where nothing shall be rolled back: errors end there, a cancel does not.
EXPECTED_WITHOUT_ROLLBACK: dict[str, dict[Status, Outcome]] = {
    "roll_back": dict.fromkeys((PENDING, RUNNING, SWITCHING), (FAILED, True)),
    "request_cancel": dict.fromkeys((PENDING, RUNNING, WAITING, PAUSED), ROLLING_BACK),
}
CASES = [
    pytest.param(status, name, outcome, enable_rollback, id=f"{name}-{status}-{kind}", marks=())
    for kind, enable_rollback, table in (
        ("rollback", True, EXPECTED),
        ("no_rollback", False, EXPECTED_WITHOUT_ROLLBACK),
    )
    for name, outcomes in table.items()
    for status, outcome in outcomes.items()
]


@pytest.mark.parametrize(("status", "name", "outcome", "enable_rollback"), CASES)
def test_each_operation_moves_each_state_as_the_table_says_or_changes_nothing(
    state: World, status: Status, name: str, outcome: Outcome, enable_rollback: bool
) -> None:
    migration = state.reach(status, enable_rollback=enable_rollback and status is not FAILED)
    assert status is migration.status
    told = state.told(migration)
    if isinstance(outcome, type):
        with pytest.raises(outcome) as refusal:
            OPERATIONS[name](state, migration)
        assert outcome is refusal.type
        assert (migration, told) == (state.now(migration), state.told(migration))
        return
    answered = OPERATIONS[name](state, migration)
    after, answer = outcome if isinstance(outcome, tuple) else (outcome, answered)
    assert (after, answer) == (state.now(migration).status, answered)
    if after is not status and name != "keep_up":  # which is no news to tell
        news = [name for name in state.told(migration)[len(told) :] if name != "undo_failed"]
        assert 1 == len(news)


def test_the_cases_cover_exactly_the_transitions_that_are_allowed() -> None:
    made = {
        (case.values[0], outcome[0] if isinstance(outcome, tuple) else outcome)
        for case in CASES
        if not isinstance(outcome := case.values[2], type)
    }
    made.add((RUNNING, WAITING))  # whatever has reached it comes from there
    allowed = {(before, after) for before, afters in TRANSITIONS.items() for after in afters}
    assert allowed == {(before, after) for before, after in made if before is not after}


@pytest.mark.parametrize("name", FENCED)
@pytest.mark.parametrize("status", [PENDING, RUNNING, SWITCHING, SWITCHED, ROLLING_BACK])
def test_work_of_an_older_epoch_changes_nothing(state: World, status: Status, name: str) -> None:
    old = state.reach(status)
    state.store.redrive(old.id, old.epoch)
    before, told = state.now(old), state.told(old)
    try:
        answer = FENCED[name](state, old)
    except Superseded:
        answer = None
    assert not answer
    assert (before, told) == (state.now(old), state.told(old))


@pytest.mark.parametrize("status", [SWITCHED, COMPLETED])
def test_switching_again_after_a_lost_reply_answers_with_the_switched_bot(
    state: World, status: Status
) -> None:
    migration = state.reach(status)
    bot = state.store.bot(migration.bot_id)
    assert bot == state.store.switch(migration.id, migration.epoch, RETENTION_HOURS)
    assert bot == state.store.bot(migration.bot_id)
    assert 1 == state.told(migration).count("switched")


def test_a_redriven_switch_is_made_by_the_new_epoch_alone(state: World) -> None:
    old = state.reach(SWITCHING)
    state.store.redrive(old.id, old.epoch)
    with pytest.raises(Superseded):
        state.store.switch(old.id, old.epoch, RETENTION_HOURS)
    assert 2 == state.store.switch(old.id, old.epoch + 1, RETENTION_HOURS).live.generation


def test_the_switch_refuses_a_bot_that_is_not_where_the_run_started(state: World) -> None:
    """The store lets no second run begin, so that only a hand in the table brings this about."""
    migration = state.reach(SWITCHING)
    state.raise_generation(migration.bot_id)
    bot, told = state.store.bot(migration.bot_id), state.told(migration)
    with pytest.raises(SourceChanged):
        state.store.switch(migration.id, migration.epoch, RETENTION_HOURS)
    assert (migration, bot) == (state.now(migration), state.store.bot(migration.bot_id))
    assert told == state.told(migration)
