"""Bots and their collections, what the watchdog asks, the ledger, tokens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from migrations.model import messages
from migrations.model.answers import Staying
from migrations.model.bots import AliasBehind, Bot, PreviousPair
from migrations.model.errors import (
    BotExists,
    BotNotFound,
    CollectionInUse,
    MigrationInProgress,
    MigrationNotFound,
)
from migrations.model.golden import GoldenQuery
from migrations.model.left_behind import End
from migrations.model.outcomes import Validated
from migrations.model.proofs import How, Proof, Spread
from migrations.model.report import Report
from migrations.model.requests import BotChange
from migrations.model.runs import Due, FailedChunk, Round, Watched
from migrations.model.spend import Spent
from migrations.model.states import LIVE, Phase, Status
from migrations.model.texts import (
    FieldRecipe,
    LlamaIndexRecipe,
    Missing,
    Recipe,
    SpringAiRecipe,
    SqlRecipe,
    TemplateRecipe,
)
from tests.contract.state_store_world import (
    OLD,
    ONCE,
    RETENTION_HOURS,
    World,
    a_bot,
    retired,
    undo_all,
)

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


def test_a_bot_is_found_by_its_alias(state: World) -> None:
    bot = state.bot()
    assert bot == state.store.bot_by_alias(bot.alias)
    with pytest.raises(BotNotFound):
        state.store.bot_by_alias("nothing")


def test_after_a_switch_the_alias_is_behind_until_it_was_seen_to_follow(state: World) -> None:
    first = state.bot()
    was, bot = first.live.collection, state.switch(state.start(first))
    assert AliasBehind(was) == bot.alias_behind == state.store.bot("bot").alias_behind
    live = bot.live.collection
    assert state.store.alias_moves("bot", live, was)
    state.pass_time(5)
    assert state.store.alias_moves("bot", live, was)  # tried again: it moves since before
    behind = state.store.bot("bot").alias_behind
    assert behind is not None
    assert behind.moving_since is not None
    assert (state.store.now() - behind.moving_since).total_seconds() >= 5
    state.store.alias_followed("bot", live)
    assert None is state.store.bot("bot").alias_behind


def test_what_is_said_of_an_alias_after_another_switch_is_not_heard(state: World) -> None:
    first = state.bot()
    was, bot = first.live.collection, state.switch(state.start(first))
    assert not state.store.alias_moves("bot", was, "anywhere")
    state.store.alias_followed("bot", was)
    assert bot.alias_behind == state.store.bot("bot").alias_behind


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


NOT_ENDED = sorted(LIVE - {Status.SWITCHED})  # whose target is the bot's own then


@pytest.mark.parametrize("status", NOT_ENDED)
def test_the_target_of_a_run_that_has_not_ended_is_not_registered(
    state: World, status: Status
) -> None:
    target = state.reach(status).target_collection
    with pytest.raises(CollectionInUse, match="being filled by a migration"):
        state.bot("other", live=replace(OTHER.live, collection=target))
    assert "other" not in [bot.bot_id for bot in state.store.bots()]


def test_the_target_of_a_run_that_was_undone_is_registered_unless_it_is_kept(
    state: World,
) -> None:
    undone, kept = (state.reach(Status.ROLLED_BACK) for _ in range(2))
    assert state.store.keep_target(kept.id, 5, 24)
    with pytest.raises(CollectionInUse, match="was left behind by a migration"):
        state.bot("other", live=replace(OTHER.live, collection=kept.target_collection))
    state.bot("other", live=replace(OTHER.live, collection=undone.target_collection))


def test_an_original_is_registered_again_once_it_stays_and_is_then_no_longer_kept(
    state: World,
) -> None:
    migration = retired(state)
    name = migration.source_collection
    with pytest.raises(CollectionInUse, match="is kept for a while"):
        state.bot("other", live=replace(OTHER.live, collection=name))
    state.pass_time(25 * 3600)
    with state.store.lock_kept(name, End.RELEASED) as may_release:
        assert may_release
    state.bot("other", live=replace(OTHER.live, collection=name))
    assert state.store.kept(name) is None


def test_refusals_name_nothing_but_what_was_asked_for(state: World) -> None:
    """Whoever asks may be a stranger to the bot, its owner and its migration."""
    migration = state.reach(Status.RUNNING)
    undone = state.reach(Status.ROLLED_BACK)
    assert state.store.keep_target(undone.id, 5, 24)
    of_bot = state.store.bot(migration.bot_id)
    targets = (migration.target_collection, undone.target_collection, of_bot.live.collection)
    wishes = [replace(OTHER, live=replace(OTHER.live, collection=name)) for name in targets]
    wishes.append(replace(OTHER, alias=of_bot.alias))
    for wish, asked in zip(wishes, (*targets, of_bot.alias), strict=True):
        with pytest.raises((BotExists, CollectionInUse)) as refused:
            state.store.add_bot(wish)
        said = refused.value.message.replace(repr(asked), "")
        for name in (of_bot.bot_id, repr(of_bot.owner), str(migration.id), str(undone.id)):
            assert name not in said
        assert "admin" in said
        assert {} == refused.value.details


def test_a_changed_bot_is_as_asked_and_the_rest_as_before(state: World) -> None:
    before = state.bot()
    asked = {"owner": "you", "recipe": FieldRecipe(field="body"), "key_field": "pk"}
    asked |= {"vector_field": "embedding", "drop_originals": True}
    change = BotChange(**asked)
    changed = state.store.change_bot("bot", change)
    assert changed == state.store.bot("bot")
    assert replace(before, **asked, updated_at=changed.updated_at) == changed
    assert changed.updated_at > before.updated_at or changed.updated_at == state.store.now()
    assert changed == state.store.change_bot("bot", change)
    assert changed == state.store.change_bot("bot", BotChange())
    with pytest.raises(BotNotFound):
        state.store.change_bot("nobody", change)


@pytest.mark.parametrize(
    "recipe",
    [
        FieldRecipe(field="data.text"),
        TemplateRecipe(template="{title}\n{text}", missing=Missing.NO_TEXT),
        SqlRecipe(sql="REEMBED_TEXTS_A", table="t", key="id", column="text", lower=True),
        LlamaIndexRecipe(framework="llama-index", field="body"),
        SpringAiRecipe(framework="spring-ai"),
        FieldRecipe(field="body", lower=True),
        SpringAiRecipe(framework="spring-ai", split_tokens=8191),
    ],
)
def test_how_a_text_is_made_is_kept_as_it_is(state: World, recipe: Recipe) -> None:
    state.bot()
    assert recipe == state.store.change_bot("bot", BotChange(recipe=recipe)).recipe
    assert recipe == state.store.bot("bot").recipe
    plain = state.store.change_bot("bot", BotChange(recipe=recipe.plain())).recipe
    assert recipe.plain() == plain == state.store.bot("bot").recipe


def test_a_proof_goes_with_its_bot_into_its_runs_and_what_they_show_into_the_bot(
    state: World,
) -> None:
    stated = Proof(how=How.STATED, by="owner", at=datetime(2026, 1, 1, tzinfo=UTC), embedding=OLD)
    cosines = Spread(lowest=0.9, low=0.99, median=1.0)
    shown = stated.model_copy(
        update={"how": How.REPRODUCED, "judged": 50, "threshold": 0.999, "cosines": cosines}
    )
    assert None is state.bot("another").proof
    first, second = state.start(state.bot(proof=stated)), state.start(state.store.bot("another"))
    assert stated == first.proof == state.store.bot("bot").proof
    outcome = Validated(report=Report(), proof=shown)
    for run, found in ((first, outcome), (second, Validated(report=Report()))):
        begun = state.drive(run, Phase.VALIDATION)
        state.store.complete_phase(run.id, begun.epoch, Phase.VALIDATION, found)
        state.complete(state.now(run))
    assert (shown, None) == (state.now(first).proof, state.now(second).proof)
    assert (shown, None) == (state.store.bot("bot").proof, state.store.bot("another").proof)
    change = BotChange(recipe=FieldRecipe(field="body"), proof=stated)
    assert stated == state.store.change_bot("bot", change).proof == state.store.bot("bot").proof


def test_runs_go_to_the_new_owner_with_their_bot(state: World) -> None:
    migration, other = state.reach(Status.RUNNING), state.reach(Status.COMPLETED)
    state.store.change_bot(migration.bot_id, BotChange(owner="you"))
    assert ("you", "owner") == (state.now(migration).owner, state.now(other).owner)
    state.complete(state.now(migration))


@pytest.mark.parametrize("status", Status)
def test_fields_are_changed_and_bots_removed_only_without_a_live_run(
    state: World, status: Status
) -> None:
    migration = state.reach(status)
    bot_id = migration.bot_id
    changes = (
        lambda: state.store.change_bot(bot_id, BotChange(recipe=FieldRecipe(field="body"))),
        lambda: state.store.remove_bot(bot_id),
    )
    for act in changes:
        if status in LIVE:
            with pytest.raises(MigrationInProgress) as refused:
                act()
            assert str(migration.id) == refused.value.details["migration_id"]
            assert FieldRecipe(field="text") == state.store.bot(bot_id).recipe
        else:
            act()
    assert (status in LIVE) is (bot_id in [bot.bot_id for bot in state.store.bots()])


def test_a_removed_bot_leaves_its_collections_and_what_was_paid(state: World) -> None:
    first = state.reach(Status.COMPLETED)
    bot_id = first.bot_id
    undone = state.start(state.store.bot(bot_id))
    undo_all(state, state.drive(undone, Phase.DATA_MIGRATION))
    assert state.store.keep_target(undone.id, 5, 24)
    other = state.reach(Status.COMPLETED)
    for run in (first, undone, other):
        state.store.record_spend(run.id, "openai", "large", "batch", 2**40)
        state.store.record_failed_chunk(run.id, "k", "text-refused", "no")
    state.store.record_errand("owner", bot_id, "openai", "large", "batch", 5)
    for what in Due:
        state.store.claim_due(what, ONCE)
    bot = state.store.bot(bot_id)
    removed = state.store.remove_bot(bot_id)
    assert bot == removed.bot
    assert [
        (first.target_collection, Staying.LIVE, True),
        (first.source_collection, Staying.PREVIOUS, False),
        (undone.target_collection, Staying.KEPT, True),
    ] == [(one.collection, one.was, one.made_here) for one in removed.stays]
    for run in (first, undone):
        with pytest.raises(MigrationNotFound):
            state.now(run)
    with pytest.raises(BotNotFound):
        state.store.remove_bot(bot_id)
    assert state.store.kept(undone.target_collection) is None
    assert 2**41 + 5 == state.store.tokens_of_errands(bot_id)
    assert 2**40 == state.store.tokens_used(other.id)
    assert Status.COMPLETED == state.now(other).status
    again = state.store.add_bot(replace(bot, previous=None))
    assert None is state.store.latest(again.bot_id) is state.store.switched_by(bot_id, 2)


def test_bots_are_listed_by_owner_and_in_the_order_of_their_ids(state: World) -> None:
    for bot_id, owner in (("b", "one"), ("a", "two"), ("c", "one")):
        state.bot(bot_id, owner=owner)
    assert ["a", "b", "c"] == [bot.bot_id for bot in state.store.bots()]
    assert ["b", "c"] == [bot.bot_id for bot in state.store.bots("one")]


def test_bots_are_read_by_their_ids_and_those_that_are_gone_left_out(state: World) -> None:
    for bot_id in ("a", "b", "c"):
        state.bot(bot_id)
    found = state.store.bots_of({"a", "c", "gone"})
    assert {bot_id: state.store.bot(bot_id) for bot_id in ("a", "c")} == found
    assert {} == state.store.bots_of(())


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
    assert {"batch": 2**40 + 2, "y": 3} == state.store.tokens_by_purpose(migration.id)
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


def test_golden_queries_take_the_place_of_those_before_and_go_with_their_bot(
    state: World,
) -> None:
    bot, other = state.bot("golden"), state.bot("silver")
    first = [GoldenQuery("b", "second?", (7, "x\u0000")), GoldenQuery("a", "first?")]
    state.store.set_golden_queries(bot.bot_id, first)
    state.store.set_golden_queries(other.bot_id, [GoldenQuery("b", "theirs?")])
    assert first == state.store.golden_queries(bot.bot_id)
    state.store.set_golden_queries(bot.bot_id, [GoldenQuery("a", "another?")])
    assert [GoldenQuery("a", "another?")] == state.store.golden_queries(bot.bot_id)
    state.store.remove_bot(bot.bot_id)
    assert [] == state.store.golden_queries(bot.bot_id)
    assert 1 == len(state.store.golden_queries(other.bot_id))
    with pytest.raises(BotNotFound):
        state.store.set_golden_queries(bot.bot_id, first)


def test_what_was_spent_is_told_by_model_and_purpose(state: World) -> None:
    run, other = state.reach(Status.RUNNING), state.reach(Status.RUNNING)
    for _ in range(2):
        state.store.record_spend(run.id, "openai", "large", "data_migration", 2**40)
    state.store.record_spend(other.id, "openai", "large", "data_migration", 7)
    state.store.record_errand(run.owner, run.bot_id, "openai", "large", "question", 5)
    state.store.record_errand("somebody", run.bot_id, "openai", "small", "question", 3)
    moved = Spent("openai", "large", "data_migration", True, 2, 2**41)
    asked = Spent("openai", "large", "question", False, 1, 5)
    assert [moved] == state.store.spent_by_run(run.id)
    assert [moved, asked] == state.store.spent(run.owner, run.bot_id)
    both = replace(moved, requests=3, tokens=2**41 + 7)
    assert [both, asked] == state.store.spent(run.owner)
    assert [both, asked, Spent("openai", "small", "question", False, 1, 3)] == state.store.spent()
    assert [] == state.store.spent("nobody")
