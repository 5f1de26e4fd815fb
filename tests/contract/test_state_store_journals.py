"""Journals of what applications write through us: places, applying, holding, waking."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.model.errors import BotNotFound, IdempotencyConflict, JournalFull, Superseded
from migrations.model.runs import ApplierLease, ForwarderLease, Migration
from migrations.model.states import Phase, Status
from migrations.model.writes import Appended, FailedWrite, Journal, OnceOnly, Write, WriteKind
from migrations.store.journals import KEPT_ENTRIES, WOKEN_SECONDS
from tests.contract.state_store_world import World, undo_all

MOST = 100
ONE, TWO = OnceOnly("one", "digest"), OnceOnly("one", "another digest")


def put(*keys: str | int, text: str = "text") -> list[Write]:
    return [Write(WriteKind.UPSERT, key, {"text": text}) for key in keys]


def append(state: World, *writes: Write, request: OnceOnly | None = None) -> Appended:
    return state.store.append("bot", writes, MOST, request)


def applying(state: World, holder: str = "me", seconds: int = 10) -> bool:
    return state.store.take_lease(ApplierLease("bot"), holder, seconds)


def advance(state: World, upto: int, holder: str = "me", generation: int = 1, **more: Any) -> bool:
    after = more.pop("after", state.store.journal("bot").applied)
    return state.store.advance("bot", holder, generation, after, upto, **more)


def forwarding(state: World, holder: str = "me", seconds: int = 10) -> bool:
    return state.store.take_lease(ForwarderLease("bot"), holder, seconds)


def about_to_switch(state: World) -> Migration:
    return state.drive(state.start(state.store.bot("bot")), Phase.FINALIZATION)


def test_places_follow_each_other_from_one_on_and_what_was_written_comes_back(
    state: World,
) -> None:
    state.bot()
    odd = {"text": "NUL \x00, \u2028 and \U0001f600", "page": 2**60, "score": 0.1, "none": None}
    write = Write(WriteKind.UPSERT, "k\x00'1", odd)
    assert Appended(0, 1, wake=True) == append(state, write)
    delete = Write(WriteKind.DELETE, -(2**62))
    assert Appended(1, 3) == append(state, delete, *put("b"))
    entries = state.store.unapplied("bot", 2)[1]
    assert [(1, write), (2, delete)] == [(e.position, e.write) for e in entries]


def test_a_bot_that_is_not_there_has_no_journal_to_write_to(state: World) -> None:
    with pytest.raises(BotNotFound):
        state.store.append("nobody", put("a"), MOST)
    assert Journal() == state.store.journal("nobody")


def test_a_journal_says_how_far_it_is(state: World) -> None:
    state.bot()
    append(state, *put("a", "b"))
    assert applying(state)
    assert advance(state, 1)
    found = state.store.journal("bot")
    assert (2, 1, 0, False, None) == (
        *(found.last, found.applied, found.failed, found.is_held, found.waiting_for),
    )
    assert found.waiting_since is not None
    assert advance(state, 2)
    assert state.store.journal("bot").waiting_since is None


def test_more_than_may_wait_is_refused_as_a_whole(state: World) -> None:
    state.bot()
    append(state, *put(*map(str, range(MOST - 1))))
    with pytest.raises(JournalFull) as refused:
        append(state, *put("a", "b"))
    assert {"waiting": MOST - 1} == refused.value.details
    assert append(state, *put("a")).upto == MOST
    assert applying(state)
    assert advance(state, 10)
    assert append(state, *put(*map(str, range(10)))).upto == MOST + 10


def test_a_request_that_is_sent_again_is_written_once(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    first = append(state, *put("b", "c"), request=ONE)
    append(state, *put("d"))
    again = append(state, *put("b", "c"), request=ONE)
    assert (first.after, first.upto, True) == (again.after, again.upto, again.replayed)
    assert state.store.journal("bot").last == 4
    with pytest.raises(IdempotencyConflict):
        append(state, *put("z"), request=TWO)


def test_whoever_does_not_hold_the_lease_advances_nothing(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    assert not advance(state, 1)
    assert applying(state)
    assert not advance(state, 1, holder="you")
    state.pass_time(11)
    assert not advance(state, 1)
    assert applying(state)
    assert advance(state, 1)


def test_what_was_written_to_another_collection_than_the_live_one_is_not_applied(
    state: World,
) -> None:
    state.bot()
    append(state, *put("a"))
    assert applying(state)
    state.raise_generation("bot")
    assert not advance(state, 1, generation=1)
    assert advance(state, 1, generation=2)


def test_what_is_passed_over_is_told_until_its_key_is_written_well(state: World) -> None:
    state.bot()
    append(state, *put("a", 7, "c"))
    assert applying(state)
    failures = [FailedWrite(1, "a", "text-refused", "No \x00."), FailedWrite(2, 7, "x", "y")]
    assert advance(state, 3, done=["c"], failed=failures)
    found = state.store.failed_writes("bot")
    assert [(1, "a", "text-refused"), (2, 7, "x")] == [(f.position, f.key, f.code) for f in found]
    assert [2] == [f.position for f in state.store.failed_writes("bot", after=1)]
    assert [1] == [f.position for f in state.store.failed_writes("bot", upto=1)]
    append(state, *put(7))
    assert advance(state, 4, done=[7])
    assert (1, ["a"]) == (
        state.store.journal("bot").failed,
        [f.key for f in state.store.failed_writes("bot")],
    )


def test_what_may_have_been_written_over_is_applied_again(state: World) -> None:
    state.bot()
    append(state, *put("a", "b", "c"))
    assert applying(state)
    assert advance(state, 3)
    state.store.apply_again("bot", 1)
    assert [2, 3] == [entry.position for entry in state.store.unapplied("bot", 10)[1]]
    state.store.apply_again("bot", 2)
    assert state.store.journal("bot").applied == 1


def test_whoever_has_begun_before_all_is_applied_again_moves_the_place_on_no_more(
    state: World,
) -> None:
    state.bot()
    append(state, *put("a", "b", "c"))
    assert applying(state)
    assert advance(state, 2)
    state.store.apply_again("bot", 0)
    assert not advance(state, 3, after=2)
    assert 0 == state.store.unapplied("bot", 10)[0]
    assert advance(state, 3, after=0)


def test_who_writes_over_what_is_live_and_who_applies_keep_each_other_out(state: World) -> None:
    state.bot()
    assert forwarding(state)  # before anything was written through us
    append(state, *put("a"))
    assert not applying(state, "you")
    assert [] == state.store.claim_journals()
    state.store.release_lease(ForwarderLease("bot"), "me")
    assert ["bot"] == state.store.claim_journals()  # whoever was woken meanwhile has gone
    assert applying(state, "you")
    assert not forwarding(state)
    state.pass_time(11)
    assert forwarding(state)


def test_while_a_run_is_about_to_switch_late_writes_may_still_be_forwarded(state: World) -> None:
    state.bot()
    run = about_to_switch(state)
    assert state.store.hold_journal(run.id, run.epoch)
    assert not applying(state)
    assert forwarding(state)
    assert not state.store.hold_journal(run.id, run.epoch)  # it is waited for


def test_only_the_latest_of_what_was_applied_is_kept(state: World) -> None:
    state.bot()
    for start in range(0, KEPT_ENTRIES + 10, 1000):
        keys = range(start, start + 1000)
        state.store.append("bot", put(*keys), 10 * KEPT_ENTRIES)
    assert applying(state)
    failed = [FailedWrite(1, 0, "x", "y")]
    assert advance(state, KEPT_ENTRIES + 5, failed=failed)
    state.store.apply_again("bot", 0)
    kept = [entry.position for entry in state.store.unapplied("bot", 3)[1]]
    assert [1, 6, 7] == kept


def test_somebody_is_woken_once_and_again_when_nothing_comes_of_it(state: World) -> None:
    state.bot()
    assert append(state, *put("a")).wake
    assert not append(state, *put("b")).wake
    assert [] == state.store.claim_journals()
    state.pass_time(WOKEN_SECONDS + 0.1)
    assert ["bot"] == state.store.claim_journals()
    assert [] == state.store.claim_journals()
    state.pass_time(WOKEN_SECONDS + 0.1)
    assert append(state, *put("c")).wake


def test_nobody_is_woken_while_somebody_applies(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    assert applying(state, seconds=60)
    state.pass_time(WOKEN_SECONDS + 0.1)
    assert not append(state, *put("b")).wake
    assert [] == state.store.claim_journals()


def test_whoever_has_ended_leaves_the_next_write_to_be_told_of_at_once(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    assert applying(state)
    assert advance(state, 1)
    state.store.release_lease(ApplierLease("bot"), "me")
    assert [] == state.store.claim_journals("bot")
    assert append(state, *put("b")).wake


def test_what_came_while_the_last_one_ended_is_claimed_by_it(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    assert applying(state)
    assert not append(state, *put("b")).wake
    state.store.release_lease(ApplierLease("bot"), "me")
    assert [] == state.store.claim_journals("another")
    assert ["bot"] == state.store.claim_journals("bot")


def test_what_cannot_be_applied_is_put_off_with_its_reason(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    assert applying(state)
    state.store.put_off("bot", "you", "not mine", 60)
    assert state.store.journal("bot").waiting_for is None
    state.store.put_off("bot", "me", "It does not answer.", 60)
    state.store.release_lease(ApplierLease("bot"), "me")
    assert state.store.journal("bot").waiting_for == "It does not answer."
    state.pass_time(30)
    assert not append(state, *put("b")).wake
    assert [] == state.store.claim_journals()
    state.pass_time(31)
    assert ["bot"] == state.store.claim_journals()
    assert applying(state)
    assert advance(state, 2)
    assert state.store.journal("bot").waiting_for is None


def test_nobody_begins_to_apply_while_a_run_is_about_to_switch(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    run = about_to_switch(state)
    assert state.store.hold_journal(run.id, run.epoch)
    assert not applying(state)
    assert not state.store.allows(ApplierLease("bot"))
    assert state.store.journal("bot").is_held
    state.pass_time(WOKEN_SECONDS + 0.1)
    assert [] == state.store.claim_journals()
    assert append(state, *put("b")) == Appended(1, 2, wake=False)


def test_a_bot_that_nobody_has_written_to_is_held_as_well(state: World) -> None:
    state.bot()
    run = about_to_switch(state)
    assert state.store.hold_journal(run.id, run.epoch)
    append(state, *put("a"))
    assert not applying(state)


def test_who_is_at_it_may_end_what_he_has_begun_but_not_go_on(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    run = about_to_switch(state)
    assert applying(state)
    assert not state.store.hold_journal(run.id, run.epoch)
    assert not applying(state)
    assert advance(state, 1)
    assert not state.store.hold_journal(run.id, run.epoch)
    state.store.release_lease(ApplierLease("bot"), "me")
    assert state.store.hold_journal(run.id, run.epoch)


def test_one_who_died_at_it_is_waited_for_until_his_lease_ends(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    run = about_to_switch(state)
    assert applying(state)
    assert not state.store.hold_journal(run.id, run.epoch)
    state.pass_time(11)
    assert state.store.hold_journal(run.id, run.epoch)
    assert not advance(state, 1)


def test_the_switch_lets_go(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    run = about_to_switch(state)
    assert state.store.hold_journal(run.id, run.epoch)
    state.switch(state.now(run))
    assert applying(state)
    assert advance(state, 1, generation=2)
    with pytest.raises(Superseded):
        state.store.hold_journal(run.id, run.epoch)


def test_a_run_that_is_taken_back_or_driven_again_holds_nothing_any_more(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    run = about_to_switch(state)
    assert state.store.hold_journal(run.id, run.epoch)
    state.pass_time(3600)
    assert state.store.redrive(run.id, run.epoch)
    assert state.store.allows(ApplierLease("bot"))
    with pytest.raises(Superseded):
        state.store.hold_journal(run.id, run.epoch)
    assert state.store.hold_journal(run.id, run.epoch + 1)
    undo_all(state, state.now(run))
    assert state.now(run).status is Status.ROLLED_BACK
    assert applying(state)


def test_whoever_holds_it_may_let_go(state: World) -> None:
    state.bot()
    run = about_to_switch(state)
    assert state.store.hold_journal(run.id, run.epoch)
    state.store.let_go_journal(run.id, run.epoch + 1)
    assert not applying(state)
    state.store.let_go_journal(run.id, run.epoch)
    assert applying(state)


def test_a_run_is_told_what_may_have_been_applied_since_it_has_asked_last(state: World) -> None:
    state.bot()
    append(state, *put("a", 7))
    assert applying(state)
    assert advance(state, 2)
    run = about_to_switch(state)
    watch = lambda **how: state.store.watch_journal(run.id, run.epoch, **how)  # noqa: E731
    assert [] == watch()
    append(state, *put("b", "c", "b", 7))
    assert {"b", "c", 7} == set(watch())  # by one who may be in the middle of it
    assert advance(state, 4)
    assert {"b", "c", 7} == set(watch())
    assert {"b", 7} == set(watch())
    assert advance(state, 6)
    assert {"b", 7} == set(watch())
    assert [] == watch()
    assert state.store.allows(ApplierLease("bot"))


def test_what_is_applied_again_is_told_again(state: World) -> None:
    state.bot()
    append(state, *put("a", "b"))
    assert applying(state)
    assert advance(state, 2)
    run = about_to_switch(state)
    assert [] == state.store.watch_journal(run.id, run.epoch)
    state.store.apply_again("bot", 1)
    assert advance(state, 2)
    assert ["b"] == state.store.watch_journal(run.id, run.epoch)


def test_a_run_that_begins_anew_or_is_driven_again_asks_from_here_on(state: World) -> None:
    state.bot()
    run = about_to_switch(state)
    assert [] == state.store.watch_journal(run.id, run.epoch)
    append(state, *put("a"))
    assert applying(state)
    assert advance(state, 1)
    assert [] == state.store.watch_journal(run.id, run.epoch, anew=True)
    append(state, *put("b"))
    assert advance(state, 2)
    state.pass_time(3600)
    assert state.store.redrive(run.id, run.epoch)
    with pytest.raises(Superseded):
        state.store.watch_journal(run.id, run.epoch)
    assert [] == state.store.watch_journal(run.id, run.epoch + 1)


def test_looking_again_while_it_is_held_lets_nobody_in(state: World) -> None:
    state.bot()
    append(state, *put("a"))
    run = about_to_switch(state)
    assert state.store.hold_journal(run.id, run.epoch)
    assert ["a"] == state.store.watch_journal(run.id, run.epoch)
    assert not applying(state)


def test_what_a_run_has_not_asked_for_yet_is_kept_however_much_it_is(state: World) -> None:
    state.bot()
    run = about_to_switch(state)
    assert [] == state.store.watch_journal(run.id, run.epoch)
    for start in range(0, KEPT_ENTRIES + 1000, 1000):
        state.store.append("bot", put(*range(start, start + 1000)), 10 * KEPT_ENTRIES)
    assert applying(state)
    assert advance(state, KEPT_ENTRIES + 1000)
    assert KEPT_ENTRIES + 1000 == len(state.store.watch_journal(run.id, run.epoch))


def test_a_removed_bot_takes_its_journal_with_it(state: World) -> None:
    state.bot()
    append(state, *put("a"), request=ONE)
    state.store.remove_bot("bot")
    assert Journal() == state.store.journal("bot")
    state.bot()
    assert append(state, *put("a"), request=TWO).after == 0
