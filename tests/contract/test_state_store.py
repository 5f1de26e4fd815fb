"""Bots and their collections, what the watchdog asks, the ledger, tokens."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from migrations.model import messages
from migrations.model.bots import Bot, PreviousPair
from migrations.model.errors import BotExists, BotNotFound, MigrationNotFound
from migrations.model.runs import FailedChunk, Round, Watched
from migrations.model.states import Phase, Status
from tests.contract.state_store_world import OLD, RETENTION_HOURS, World, a_bot

WINDOW_SECONDS = RETENTION_HOURS * 3600


def test_a_bot_is_found_as_it_was_added_with_the_times_of_the_store(state: World) -> None:
    before = state.store.now()
    bot = state.bot()
    assert bot == state.store.bot("bot")
    assert replace(a_bot("bot"), created_at=bot.created_at, updated_at=bot.updated_at) == bot
    assert before <= bot.created_at <= state.store.now()


def test_a_bot_that_comes_with_a_previous_collection_keeps_it(state: World) -> None:
    previous = PreviousPair("old", OLD, state.store.now())
    assert previous == state.bot(previous=previous).previous


def test_an_unknown_bot_is_said_to_be_unknown(state: World) -> None:
    with pytest.raises(BotNotFound):
        state.store.bot("nobody")


OTHER = a_bot("other")
TAKEN = {
    "same id": (replace(OTHER, bot_id="bot"), "bot_id"),
    "same alias": (replace(OTHER, alias="bot_live"), "alias"),
    "same collection": (replace(OTHER, live=a_bot("bot").live), "collection"),
    "another's previous": (replace(OTHER, live=replace(OTHER.live, collection="kept")), "collect"),
}


@pytest.mark.parametrize(("second", "why"), TAKEN.values(), ids=TAKEN)
def test_what_belongs_to_one_bot_is_not_given_to_another(
    state: World, second: Bot, why: str
) -> None:
    state.bot(previous=PreviousPair("kept", OLD, state.store.now()))
    with pytest.raises(BotExists, match=why):
        state.store.add_bot(second)
    assert ["bot"] == [bot.bot_id for bot in state.store.bots()]


def test_bots_are_listed_by_owner_and_in_the_order_of_their_ids(state: World) -> None:
    for bot_id, owner in (("b", "one"), ("a", "two"), ("c", "one")):
        state.bot(bot_id, owner=owner)
    assert ["a", "b", "c"] == [bot.bot_id for bot in state.store.bots()]
    assert ["b", "c"] == [bot.bot_id for bot in state.store.bots("one")]


def test_bots_are_listed_in_pages(state: World) -> None:
    for bot_id in ("d", "b", "a", "c"):
        state.bot(bot_id, owner="two" if bot_id == "c" else "one")

    def page(owner: str | None, after: str | None) -> str:
        return "".join(bot.bot_id for bot in state.store.bots(owner, after=after, limit=2))

    assert ["ab", "cd", ""] == [page(None, after) for after in (None, "b", "d")]
    assert ["ab", "d"] == [page("one", after) for after in (None, "b")]
    assert "cd" == page(None, "bb")  # one that is gone


def may_drop(state: World, collection: str) -> bool:
    with state.store.lock_for_drop(collection) as is_nobodys:
        return is_nobodys


def test_a_collection_that_a_bot_lives_in_or_may_go_back_to_is_never_dropped(state: World) -> None:
    migration = state.reach(Status.COMPLETED)
    source, target = migration.source_collection, migration.target_collection
    for collection in (source, target):
        assert not may_drop(state, collection)
    assert may_drop(state, "nobodys")


def test_an_expired_previous_collection_is_kept_until_it_was_retired_and_held(
    state: World,
) -> None:
    migration = state.reach(Status.COMPLETED)
    state.pass_time(WINDOW_SECONDS)
    assert not may_drop(state, migration.source_collection)
    assert state.store.bot(migration.bot_id).previous is not None


@pytest.mark.parametrize("back", [True, False], ids=["back to it", "to a third"])
def test_an_expired_previous_collection_is_not_retired_while_a_migration_lives(
    state: World, back: bool
) -> None:
    forward = state.reach(Status.COMPLETED)
    state.pass_time(WINDOW_SECONDS)
    live = state.start_back(forward) if back else state.start(state.store.bot(forward.bot_id))
    assert not state.store.retire(forward.id, 1, "ab", 24)
    state.store.request_cancel(live.id, "somebody")
    assert not state.store.retire(forward.id, 1, "ab", 24)
    state.store.finish_rollback(live.id, 2)
    assert state.store.retire(forward.id, 1, "ab", 24)
    assert may_drop(state, forward.source_collection)


@pytest.mark.parametrize(
    ("status", "may"),
    [
        (Status.PENDING, False),
        (Status.RUNNING, False),
        (Status.SWITCHING, False),
        (Status.ROLLING_BACK, True),
        (Status.NEEDS_OPERATOR, True),
        (Status.ROLLED_BACK, True),
    ],
)
def test_a_target_is_dropped_only_when_its_run_has_given_it_up(
    state: World, status: Status, may: bool
) -> None:
    assert may is may_drop(state, state.reach(status).target_collection)


def test_a_round_is_one_watchdogs_until_its_pause_is_over(state: World) -> None:
    assert [True, False] == [state.store.claim_round(Round.JUDGING, 60) for _ in range(2)]
    assert state.store.claim_round(Round.ORPHANS, 60)
    state.pass_time(61)
    assert state.store.claim_round(Round.JUDGING, 60)


def test_rounds_over_the_bots_take_slices_and_begin_anew_after_the_last(state: World) -> None:
    for bot_id in "dacbe":
        state.bot(bot_id)
    slices = ["".join(bot.bot_id for bot in state.store.claim_bots(2, 0)) for _ in range(6)]
    assert ["ab", "cd", "e", "ab", "cd", "e"] == slices


def test_a_slice_that_ends_with_the_last_bot_is_followed_by_the_first_ones(state: World) -> None:
    for bot_id in "ab":
        state.bot(bot_id)
    slices = ["".join(bot.bot_id for bot in state.store.claim_bots(2, 0)) for _ in range(3)]
    assert ["ab", "", "ab"] == slices


def test_no_slice_of_the_bots_is_given_during_the_pause(state: World) -> None:
    state.bot("a")
    assert 1 == len(state.store.claim_bots(2, 60))
    assert [] == state.store.claim_bots(2, 60)
    state.pass_time(61)
    assert 1 == len(state.store.claim_bots(2, 60))


def test_a_driven_migration_without_a_heartbeat_is_stalled(state: World) -> None:
    migration = state.start()
    state.reach(Status.COMPLETED)
    state.reach(Status.NEEDS_OPERATOR)
    state.pass_time(21)
    assert [migration.id] == [m.id for m in state.store.stalled(20)]
    state.store.heartbeat(migration.id, 1)
    assert [] == state.store.stalled(20)


def test_who_waits_in_line_behind_anothers_batches_is_given_more_time(state: World) -> None:
    waiting, busy = (
        state.drive(state.start(state.bot(name)), Phase.DATA_MIGRATION) for name in "ab"
    )
    state.pass_time(70)
    state.store.heartbeat(busy.id, 1)
    assert [] == state.store.stalled(20)
    state.pass_time(15)
    assert [waiting.id] == [m.id for m in state.store.stalled(20)]
    state.pass_time(10)
    assert {waiting.id, busy.id} == {m.id for m in state.store.stalled(20)}


def test_nobody_waits_in_an_empty_line(state: World) -> None:
    waiting, busy = (
        state.drive(state.start(state.bot(name)), Phase.DATA_MIGRATION) for name in "ab"
    )
    state.pass_time(21)
    state.store.heartbeat(busy.id, 1)
    assert [] == state.store.stalled(20)
    assert [waiting.id] == [m.id for m in state.store.stalled(20, line_is_empty=True)]


def test_a_deadline_is_missed_only_before_the_switch(state: World) -> None:
    late = state.reach(Status.RUNNING, timeout_seconds=60)
    state.reach(Status.SWITCHING, timeout_seconds=60)
    state.reach(Status.SWITCHED, timeout_seconds=60)
    assert [] == state.store.overdue()
    state.pass_time(61)
    assert [late.id] == [m.id for m in state.store.overdue()]


def test_a_message_is_unsent_until_it_is_marked_and_only_when_it_is_old_enough(
    state: World,
) -> None:
    migration = state.start()
    assert [] == state.store.unsent(10)
    state.pass_time(11)
    (message,) = state.store.unsent(10)
    assert messages.run(migration.id, 1, Phase.VALIDATION) == message.body
    state.store.mark_sent([message.id])
    state.store.mark_sent([message.id])
    assert [] == state.store.unsent(0) == state.store.unsent_of(migration.id)
    state.pass_time(3 * 86_400)
    assert [] == state.store.unsent(0)


def test_messages_come_oldest_first_and_no_more_than_asked_for(state: World) -> None:
    started = [state.start(state.bot(name)) for name in "abc"]
    found = state.store.unsent(0, limit=2)
    assert [str(m.id) for m in started[:2]] == [m.body["migration_id"] for m in found]


def test_messages_of_an_older_epoch_are_not_sent_any_more(state: World) -> None:
    migration = state.start()
    state.store.redrive(migration.id, 1)
    assert [2] == [message.body["epoch"] for message in state.store.unsent(0)]


def test_failed_chunks_are_counted_once_each_and_go_when_resolved(state: World) -> None:
    migration, other = state.start(), state.start(state.bot("other"))
    for key, message in (("b", "first"), ("b", "second\x00"), ("a", "x"), ("k" * 60_000, "long")):
        state.store.record_failed_chunk(migration.id, key, "text-refused", message)
    assert 3 == state.store.count_failed_chunks(migration.id)
    assert Watched(migration, 3, 0) == state.store.watched(migration.id)
    assert 0 == state.store.count_failed_chunks(other.id)
    assert [
        FailedChunk("a", "text-refused", "x", 1),
        FailedChunk("b", "text-refused", "second␀", 2),
    ] == state.store.failed_chunks(migration.id, limit=2)
    state.store.resolve_failed_chunks(migration.id, ["a", "k" * 60_000, "never failed"])
    state.store.resolve_failed_chunks(migration.id, [])
    assert ["b"] == [chunk.key for chunk in state.store.failed_chunks(migration.id)]


def test_tokens_used_are_the_sum_of_what_was_spent(state: World) -> None:
    migration, other = state.start(), state.start(state.bot("other"))
    assert 0 == state.store.tokens_used(migration.id)
    for model, purpose, tokens in (("large", "batch", 2**40), ("large", "batch", 2), ("x", "y", 3)):
        state.store.record_spend(migration.id, "openai", model, purpose, tokens)
    state.store.record_spend(other.id, "openai", "large", "batch", 7)
    assert 2**40 + 5 == state.store.tokens_used(migration.id)
    assert Watched(migration, 0, 2**40 + 5) == state.store.watched(migration.id)
    with pytest.raises(MigrationNotFound):
        state.store.watched(uuid4())


def test_errands_are_added_up_by_bot_and_no_migration_pays_for_them(state: World) -> None:
    migration = state.start()
    assert 0 == state.store.tokens_of_errands("bot")
    for owner, bot_id, purpose, tokens in (
        ("me", "bot", "estimate", 2**40),
        ("me", "bot", "estimate", 2),
        ("you", "bot", "validation", 3),
        ("me", "not registered", "registration", 7),
    ):
        state.store.record_errand(owner, bot_id, "openai", "large", purpose, tokens)
    assert 2**40 + 5 == state.store.tokens_of_errands("bot")
    assert 7 == state.store.tokens_of_errands("not registered")
    assert 0 == state.store.tokens_used(migration.id)


def test_a_store_that_is_there_answers_a_ping(state: World) -> None:
    state.store.ping()
