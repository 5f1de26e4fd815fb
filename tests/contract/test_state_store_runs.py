"""Starting a run and taking it forward: phases, steps, notes, the heartbeat and the runner."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from migrations.model import messages
from migrations.model.chunks import Content
from migrations.model.config import EmbeddingRef, Manner
from migrations.model.errors import (
    BotNotFound,
    IdempotencyConflict,
    MigrationInProgress,
    MigrationNotFound,
    RollbackUnavailable,
    SourceChanged,
    Superseded,
    TooManyMigrations,
)
from migrations.model.history import Order, RunSearch
from migrations.model.outcomes import BackedUp, Moved, Outcome, Validated, Verified
from migrations.model.pace import Pace
from migrations.model.report import Report
from migrations.model.roles import TextRole
from migrations.model.runs import Handover, RollbackInfo, RunnerLease, Step
from migrations.model.states import LIVE, Kind, Phase, Status
from tests.contract.state_store_world import (
    LIMIT,
    NEW,
    UNKNOWN,
    World,
    a_bot,
    a_config,
    a_reverse,
    a_start,
    undo_all,
)

INFO = RollbackInfo(
    bot_id="bot",
    collection="bot_g1",
    embedding=EmbeddingRef(provider="local", model="small", dimension=64),
    generation=1,
    alias="bot_live",
    collection_schema={"fields": [{"name": "id"}]},
    chunk_count=7,
    content_digest="ab" * 16,
)


def test_a_new_migration_is_pending_and_its_first_message_waits_to_be_sent(state: World) -> None:
    new = a_start(state.bot(), config=a_config(timeout_seconds=60))
    migration, created = state.store.create(new, LIMIT)
    assert created
    assert migration == state.now(migration)
    assert (Status.PENDING, Phase.VALIDATION, 1) == (
        migration.status,
        migration.phase,
        migration.epoch,
    )
    assert new.config == migration.config
    assert ("owner", "somebody") == (migration.owner, migration.requested_by)
    assert timedelta(seconds=60) == migration.deadline_at - migration.created_at
    assert ["started"] == state.told(migration)
    assert [messages.run(migration.id, 1, Phase.VALIDATION)] == state.messages(migration)


def test_the_same_request_under_the_same_key_is_answered_with_the_first_migration(
    state: World,
) -> None:
    bot = state.bot()
    key = {"idempotency_key": "k", "request_digest": "d"}
    first, _ = state.store.create(a_start(bot, **key), LIMIT)
    assert (first, False) == state.store.create(a_start(bot, **key), LIMIT)
    assert (first, "d") == state.store.by_idempotency_key(bot.bot_id, "k")
    assert ["started"] == state.told(first)


def test_another_request_under_a_used_key_is_refused(state: World) -> None:
    bot = state.bot()
    state.start(bot, idempotency_key="k", request_digest="d")
    with pytest.raises(IdempotencyConflict):
        state.store.create(a_start(bot, idempotency_key="k", request_digest="other"), LIMIT)


def test_a_key_belongs_to_one_bot(state: World) -> None:
    key = {"idempotency_key": "k", "request_digest": "d"}
    first = state.start(state.bot("one"), **key)
    second = state.start(state.bot("two"), **key)
    assert first.id != second.id
    assert state.store.by_idempotency_key("three", "k") is None


@pytest.mark.parametrize("status", list(Status))
def test_a_second_start_is_refused_exactly_while_the_first_migration_lives(
    state: World, status: Status
) -> None:
    first = state.reach(status)
    bot = state.store.bot(first.bot_id)
    if status not in LIVE:
        assert Status.PENDING is state.start(bot).status
        return
    with pytest.raises(MigrationInProgress, match=str(first.id)) as refusal:
        state.start(bot)
    assert str(first.id) == refusal.value.details["migration_id"]


def test_one_more_than_the_limit_is_refused_until_one_has_ended(state: World) -> None:
    first, *_ = [state.start(state.bot(f"bot{n}")) for n in range(LIMIT)]
    late = state.bot("late")
    with pytest.raises(TooManyMigrations, match=str(LIMIT)):
        state.start(late)
    state.store.roll_back(first.id, 1, Superseded())
    state.store.finish_rollback(first.id, 2)
    assert Status.PENDING is state.start(late).status


def test_one_owner_has_places_of_their_own_below_the_limit_of_all(state: World) -> None:
    mine, *_ = (state.start(state.bot(f"bot{n}")) for n in range(2))
    late, others = state.bot("late"), state.bot("others", owner="you")
    with pytest.raises(TooManyMigrations) as refused:
        state.store.create(a_start(late), LIMIT, of_one_owner=2)
    assert {"limit": 2, "limit_of": "owner"} == refused.value.details
    assert state.store.create(a_start(others), LIMIT, of_one_owner=2)[1]
    with pytest.raises(TooManyMigrations) as refused:
        state.store.create(a_start(late), LIMIT, of_one_owner=3)
    assert {"limit": LIMIT, "limit_of": "system"} == refused.value.details
    state.store.roll_back(mine.id, 1, Superseded())
    state.store.finish_rollback(mine.id, 2)
    assert state.store.create(a_start(late), LIMIT, of_one_owner=2)[1]


@pytest.mark.parametrize(
    "stale", [{"source_generation": 2}, {"source_collection": "elsewhere"}], ids=str
)
def test_a_start_from_where_the_bot_is_not_is_refused(state: World, stale: dict[str, Any]) -> None:
    bot = state.bot()
    with pytest.raises(SourceChanged):
        state.start(bot, **stale)
    assert state.store.latest(bot.bot_id) is None


def test_a_start_for_an_unknown_bot_is_refused(state: World) -> None:
    with pytest.raises(BotNotFound):
        state.store.create(a_start(a_bot("nobody")), LIMIT)


def test_a_reverse_run_to_a_collection_that_is_no_longer_kept_is_refused(state: World) -> None:
    forward = state.reach(Status.COMPLETED)
    bot = state.store.bot(forward.bot_id)
    gone = replace(a_reverse(bot, forward), target_collection="dropped")
    with pytest.raises(RollbackUnavailable):
        state.store.create(gone, LIMIT)


def test_a_migration_is_found_by_its_bot_by_its_reverse_and_among_the_live(state: World) -> None:
    forward = state.reach(Status.COMPLETED)
    assert state.store.reverse_of(forward.id) is None
    assert state.store.live(forward.bot_id) is None
    back = state.start_back(forward)
    assert back == state.store.reverse_of(forward.id)
    assert back == state.store.live(forward.bot_id) == state.store.latest(forward.bot_id)
    assert {back.bot_id: back} == state.store.latest_of([forward.bot_id, "nobody"])
    assert [back] == state.store.active()
    assert (Kind.REVERSE, forward.id, True) == (back.kind, back.reverses, back.target_is_kept)


def test_live_migrations_are_listed_in_pages(state: World) -> None:
    three = []
    for name in "abc":
        three.append(state.start(state.bot(name)).id)
        state.pass_time(1)

    def page(after: UUID | None) -> list[UUID]:
        return [migration.id for migration in state.store.active(after=after, limit=2)]

    assert [three[:2], three[2:], []] == [page(after) for after in (None, three[1], three[2])]
    with pytest.raises(MigrationNotFound):
        page(UNKNOWN)
    state.store.request_cancel(three[1], "somebody")
    assert three[2:] == page(three[1])


def test_an_unknown_migration_is_said_to_be_unknown(state: World) -> None:
    for ask in (
        lambda: state.store.migration(UNKNOWN),
        lambda: state.store.begin_phase(UNKNOWN, 1, Phase.VALIDATION),
        lambda: state.store.request_cancel(UNKNOWN, "somebody"),
        lambda: state.store.switch(UNKNOWN, 1, 1.0),
    ):
        with pytest.raises(MigrationNotFound):
            ask()


def test_phases_are_entered_in_their_order_and_timed(state: World) -> None:
    migration = state.start()
    for phase in list(Phase)[:5]:
        begun = state.store.begin_phase(migration.id, 1, phase)
        assert (phase, Status.RUNNING) == (begun.phase, begun.status)
        state.store.complete_phase(migration.id, 1, phase)
    done = state.now(migration)
    assert tuple(Phase)[:5] == done.completed_phases
    assert {"started_at", "finished_at"} == set(done.phase_times[Phase.VERIFICATION])
    assert done.started_at is not None
    assert ["phase_begun", "phase_completed"] * 5 == state.told(migration)[1:]


def test_entering_a_phase_again_keeps_its_first_start_and_tells_nothing_new(state: World) -> None:
    migration = state.start()
    first = state.store.begin_phase(migration.id, 1, Phase.VALIDATION)
    state.pass_time(5)
    first_times = state.now(migration).phase_times
    again = state.store.begin_phase(migration.id, 1, Phase.VALIDATION)
    assert first_times == again.phase_times == first.phase_times
    assert ["started", "phase_begun"] == state.told(migration)


@pytest.mark.parametrize(
    "phase",
    [Phase.VALIDATION, Phase.NEW_COLLECTION_CREATION, Phase.FINALIZATION, Phase.CLEANUP],
)
def test_a_phase_that_is_done_or_not_yet_next_is_not_entered(state: World, phase: Phase) -> None:
    migration = state.drive(state.start(), Phase.BACKUP_CREATION)
    with pytest.raises(Superseded):
        state.store.begin_phase(migration.id, 1, phase)


def test_the_next_phase_is_not_entered_before_this_one_is_complete(state: World) -> None:
    migration = state.drive(state.start(), Phase.VALIDATION)
    with pytest.raises(Superseded):
        state.store.begin_phase(migration.id, 1, Phase.BACKUP_CREATION)


def test_only_the_phase_at_work_can_be_completed(state: World) -> None:
    migration = state.drive(state.start(), Phase.BACKUP_CREATION)
    with pytest.raises(Superseded):
        state.store.complete_phase(migration.id, 1, Phase.DATA_MIGRATION)


def test_completing_twice_counts_once_and_keeps_the_first_findings(state: World) -> None:
    migration = state.drive(state.start(), Phase.VALIDATION)
    for name in ("first", "second"):
        state.store.complete_phase(migration.id, 1, Phase.VALIDATION, a_validation(name))
    assert "first" == (state.now(migration).validation or {})["checks"][0]["name"]
    assert 1 == state.told(migration).count("phase_completed")


def a_validation(name: str, **details: object) -> Validated:
    report = Report()
    report.add(name, True, "All is well.", **details)
    return Validated(report=report)


def test_what_each_phase_hands_over_is_kept_with_the_migration(state: World) -> None:
    migration = state.drive(state.start(), Phase.VALIDATION)
    store, id_ = state.store, migration.id
    validated = replace(a_validation("texts"), warnings=["2 chunks have no text."])
    moved = Moved(source=Content(9, 77), failed_chunks=2, may_lack_rows=False, caught_up=3)
    verified = Verified(report=validated.report, snapshot_in_epoch=1)
    store.complete_phase(id_, 1, Phase.VALIDATION, validated)
    for phase, outcome in (
        (Phase.BACKUP_CREATION, BackedUp(info=INFO)),
        (Phase.NEW_COLLECTION_CREATION, Outcome()),
        (Phase.DATA_MIGRATION, moved),
        (Phase.VERIFICATION, verified),
    ):
        store.begin_phase(id_, 1, phase)
        store.complete_phase(id_, 1, phase, outcome)
    kept = state.now(migration)
    assert INFO == kept.rollback_info
    assert validated.report.model_dump() == kept.validation == kept.verification
    counts = {"total_chunks": 9, "processed_chunks": 7, "failed_chunks": 2}
    assert {**counts, "caught_up_chunks": 3, "remaining_chunks": 0} == kept.totals
    assert Handover(source_digest=77, may_lack_rows=False, snapshot_in_epoch=1) == kept.handover
    assert ("2 chunks have no text.",) == kept.warnings


def test_what_nobody_has_handed_over_is_unknown(state: World) -> None:
    assert Handover(None, may_lack_rows=True, snapshot_in_epoch=None) == state.start().handover


def test_findings_that_postgresql_cannot_hold_are_kept_in_other_words(state: World) -> None:
    migration = state.drive(state.start(), Phase.VALIDATION)
    details = {"rate": math.nan, "text\x00": "\x00 \ud800", "id": uuid4()}
    found = replace(a_validation("all", **details), warnings=["\x00"])
    state.store.complete_phase(migration.id, 1, Phase.VALIDATION, found)
    kept = (state.now(migration).validation or {})["checks"][0]["details"]
    assert ("nan", "␀ ?") == (kept["rate"], kept["text␀"])
    assert ("␀",) == state.now(migration).warnings


def test_notes_replace_what_is_waited_for_and_add_warnings_once(state: World) -> None:
    migration = state.drive(state.start(), Phase.DATA_MIGRATION)
    told = state.told(migration)
    state.store.wait_for(migration.id, 1, "a provider")
    state.store.note(migration.id, 1, warnings=["slow", "slow"])
    state.store.note(migration.id, 1, warnings=["slow", "dear"], totals={"failed_chunks": 1})
    noted = state.now(migration)
    assert ("a provider", ("slow", "dear")) == (noted.waiting_for, noted.warnings)
    assert {"failed_chunks": 1} == noted.totals
    state.store.wait_for(migration.id, 1, None)
    assert state.now(migration).waiting_for is None
    assert told == state.told(migration)


def test_steps_are_taken_forwards_and_each_only_once(state: World) -> None:
    migration = state.drive(state.start(), Phase.DATA_MIGRATION)
    follow_up = messages.catch_up(migration.id, 1)
    take = state.store.take_step
    assert take(migration.id, 1, Step.PLANNING)
    assert not take(migration.id, 1, Step.PLANNING)
    assert take(migration.id, 1, Step.CATCHING_UP, follow_up)
    assert not take(migration.id, 1, Step.CATCHING_UP, follow_up)
    assert not take(migration.id, 1, Step.BACKFILLING)
    assert Step.CATCHING_UP is state.now(migration).step
    assert 1 == state.messages(migration).count(follow_up)


def test_no_step_is_taken_outside_data_migration(state: World) -> None:
    migration = state.drive(state.start(), Phase.NEW_COLLECTION_CREATION)
    assert not state.store.take_step(migration.id, 1, Step.PLANNING)
    state.drive(migration, Phase.DATA_MIGRATION)
    state.store.complete_phase(migration.id, 1, Phase.DATA_MIGRATION)
    assert not state.store.take_step(migration.id, 1, Step.PLANNING)


def test_a_message_comes_out_of_the_outbox_character_by_character(state: World) -> None:
    migration = state.drive(state.start(), Phase.DATA_MIGRATION)
    odd = {"kind": "wave", "epoch": 1, "batches": [[0, "\x00'\\\ud800é", 2**63 - 1]]}
    state.store.take_step(migration.id, 1, Step.CATCHING_UP, odd)
    assert odd == state.messages(migration)[-1]


def test_a_heartbeat_moves_the_time_of_the_last_sign_of_life(state: World) -> None:
    migration = state.start()
    state.pass_time(30)
    before = state.now(migration).heartbeat_at
    assert state.store.heartbeat(migration.id, 1)
    assert timedelta(seconds=30) <= state.now(migration).heartbeat_at - before


def test_a_redriven_migration_is_free_for_a_new_runner(state: World) -> None:
    migration = state.start()
    state.store.take_lease(RunnerLease(migration.id, 1), "me", 600)
    state.store.redrive(migration.id, 1)
    assert state.store.take_lease(RunnerLease(migration.id, 2), "you", 10)


def test_runs_with_a_pace_of_their_own_are_found_while_they_live(state: World) -> None:
    slow, pace = state.reach(Status.PAUSED), Pace(requests_per_minute=60)
    state.reach(Status.RUNNING)

    def found() -> list[UUID]:
        return [m.id for m in state.store.throttled() if m.id == slow.id]

    assert [] == found()
    state.store.throttle(slow.id, pace, "somebody")
    assert ([slow.id], pace) == (found(), Pace.of(state.now(slow).controls))
    state.store.throttle(slow.id, None, "somebody")
    assert [] == found()


def test_more_time_is_kept_with_the_model_and_its_roles(state: World) -> None:
    in_roles = Manner(query_role=TextRole(prefix="query: "))
    migration = state.reach(Status.PAUSED, target=NEW.in_manner(in_roles))
    extended = state.store.extend(migration.id, 86_400, "somebody")
    expected = migration.config.model_copy(update={"timeout_seconds": 86_400})
    assert expected == extended.config == state.now(migration).config
    assert extended.controls["paused"]["seconds_left"] > 80_000


def test_postponed_runs_are_found_when_they_have_not_caught_up_for_a_while(state: World) -> None:
    waits = state.reach(Status.WAITING)
    state.reach(Status.RUNNING)
    assert [] == [m.id for m in state.store.waiting(60) if m.id == waits.id]
    state.pass_time(61)
    assert [waits.id] == [m.id for m in state.store.waiting(60) if m.id == waits.id]
    assert state.store.keep_up(waits.id, waits.epoch)
    assert not state.store.keep_up(waits.id, waits.epoch)
    (message,) = state.messages(waits)
    assert ("catch_up", waits.epoch + 1) == (message["kind"], message["epoch"])


def test_an_accepted_run_has_all_its_time_again(state: World) -> None:
    waits = state.reach(Status.WAITING)
    state.pass_time(2 * waits.config.timeout_seconds)
    assert [] == [m.id for m in state.store.overdue() if m.id == waits.id]
    accepted = state.store.accept(waits.id, "somebody", "because")
    assert accepted.deadline_at > state.store.now()
    assert ("somebody", "because") == (
        accepted.decision["accepted"]["by"],
        accepted.decision["accepted"]["reason"],
    )


def _ids(state: World, **search: Any) -> list[UUID]:
    return [run.id for run in state.store.runs(RunSearch(**search))]


def _ended_and_live(state: World) -> list[UUID]:
    """Three runs in the order of their making: two that were undone and a live one."""
    bot, made = state.bot(), []
    for _ in range(2):
        undo_all(state, state.start(bot))
        made.append(state.store.latest(bot.bot_id))
        state.pass_time(60)
    return [*(run.id for run in made if run is not None), state.start(bot).id]


def test_runs_are_listed_in_the_order_that_is_asked_for(state: World) -> None:
    made = _ended_and_live(state)
    assert made[::-1] == _ids(state)
    assert made == _ids(state, order=Order.OLDEST)


def test_runs_are_listed_by_all_that_is_said_of_them(state: World) -> None:
    made = _ended_and_live(state)
    middle = state.store.migration(made[1])
    assert made[1::-1] == _ids(state, statuses=frozenset({Status.ROLLED_BACK, Status.FAILED}))
    assert made[2:] == _ids(state, live=True, owner=middle.owner, bot_id="bot")
    assert made[:0:-1] == _ids(state, since=middle.created_at)
    assert made[:1] == _ids(state, until=middle.created_at, kind=Kind.FORWARD)
    assert [] == _ids(state, owner="nobody")
    assert [] == _ids(state, phase=Phase.CLEANUP)


def test_a_list_of_runs_goes_on_behind_its_last_place(state: World) -> None:
    made = _ended_and_live(state)
    first = state.store.runs(RunSearch(limit=1))[0]
    assert made[1::-1] == _ids(state, after=first.place)
    assert [] == _ids(state, after=first.place, order=Order.OLDEST)
    shown, run = first, state.store.migration(made[2])
    assert (run.config.source, run.config.target) == (shown.source, shown.target)
    assert (run.status, run.created_at) == (shown.status, shown.created_at)


def test_events_are_read_from_where_one_has_read_before(state: World) -> None:
    migration = state.start()
    undo_all(state, migration)
    every = state.store.events(migration.id)
    assert sorted(event.id for event in every) == [event.id for event in every]
    assert every[1:3] == state.store.events(migration.id, every[0].id, 2)
    assert [] == state.store.events(migration.id, every[-1].id)
