"""What is written through us is kept, applied in order, once to the same effect, and never lost."""

from __future__ import annotations

import pytest

from migrations.model.bots import Caller
from migrations.model.config import OverLong
from migrations.model.errors import (
    BotNotFound,
    CheckpointsUnavailable,
    IdempotencyConflict,
    JournalFull,
    ProviderAuthenticationFailed,
    ProviderUnavailable,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.model.runs import ApplierLease
from migrations.model.writes import Write, WriteKind
from migrations.store.journals import WOKEN_SECONDS
from migrations.writers import applying
from tests.fakes.embedders import SMALL
from tests.fakes.world import OWNER, SOURCE, World, kill


def applied(world: World) -> int:
    return world.store.journal("bot").applied


def test_what_is_written_is_embedded_with_the_live_model_and_stands_in_the_live_collection() -> (
    None
):
    world = World(2)
    world.upsert("k000", "new", text="of today")
    world.delete("k001")
    world.deliver()
    assert {"k000": "of today", "new": "of today"} == world.texts_of(SOURCE)
    assert [] == world.wrongly_embedded(SOURCE, SMALL)
    assert 3 == applied(world)


def test_it_is_acknowledged_before_anybody_has_done_anything() -> None:
    world = World(1)
    before = world.vectors.calls.total(), world.embedders.calls
    written = world.upsert("a")
    assert (1, False) == (written.appended.upto, written.is_applied)
    assert before[1] == world.embedders.calls
    assert world.writers.applied(written, 0) == written
    world.deliver()
    assert world.writers.applied(written, 0).is_applied


def test_of_a_key_that_is_written_again_and_again_the_last_write_counts() -> None:
    world = World(1)
    for text in ("first", "second"):
        world.upsert("a", text=text)
    world.delete("a")
    world.upsert("a", "a", text="last")
    world.delete("b")
    world.upsert("c")
    world.delete("c")
    world.deliver()
    assert {"k000": "text 0", "a": "last"} == world.texts_of(SOURCE)
    assert 0 == world.embedders.embedded["small", "first"]


def test_equal_texts_are_embedded_once_and_paid_by_the_bot() -> None:
    world = World(1)
    before = world.store.tokens_of_errands("bot")
    world.upsert("a", "b", "c", text="the same")
    world.deliver()
    assert 1 == world.embedders.embedded["small", "the same"]
    assert world.store.tokens_of_errands("bot") > before


def test_one_who_dies_after_writing_and_before_telling_has_it_written_again() -> None:
    world = World(1)
    with world.at("journal.before_advance", kill):
        world.upsert("a", text="once")
        world.work(world.pending().pop(0))
    world.queue.clear()
    world.upsert("a", text="twice")
    assert 0 == applied(world)
    world.clock.sleep(60)
    world.watchdog.look()
    world.deliver()
    assert ("twice", 2) == (world.texts_of(SOURCE)["a"], applied(world))


@pytest.mark.parametrize("point", ["journal.before_apply", "write.before_call"])
def test_one_who_dies_before_writing_leaves_it_to_the_next(point: str) -> None:
    world = World(1)
    world.upsert("a")
    with world.at(point, kill):
        world.work(world.pending().pop(0))
    world.queue.clear()
    assert "a" not in world.texts_of(SOURCE)
    world.clock.sleep(60)
    world.watchdog.look()
    world.deliver()
    assert "a" in world.texts_of(SOURCE)


def test_a_lost_message_is_made_good_by_the_watchdog() -> None:
    world = World(1)
    world.upsert("a")
    world.dispatcher.woken.clear()
    world.watchdog.look()
    assert [] == world.pending()
    world.clock.sleep(WOKEN_SECONDS + 0.1)
    world.watchdog.look()
    world.deliver()
    assert 1 == applied(world)


def test_what_comes_while_a_portion_is_applied_is_applied_in_the_same_turn() -> None:
    world = World(1)
    world.upsert("a", text="first")
    with world.at("journal.before_advance", lambda: world.upsert("a", "b", text="second")):
        world.work(world.pending().pop(0))
    assert [] == world.pending()
    assert ("second", 3) == (world.texts_of(SOURCE)["a"], applied(world))


def test_whoever_has_had_his_turn_leaves_the_rest_to_somebody_who_is_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(1)
    monkeypatch.setattr(applying, "PORTION", 2)
    monkeypatch.setattr(applying, "TURN_SECONDS", 0.0)
    world.upsert("a", "b", "c")
    world.work(world.pending().pop(0))
    assert 2 == applied(world)
    assert ["migrations.journal"] == [task.name for task in world.pending()]
    world.deliver()
    assert 3 == applied(world)


def test_a_text_that_is_refused_is_passed_over_and_its_neighbours_are_written() -> None:
    world = World(1)
    world.embedders.refuse("poison")
    world.upsert("k000", text="poison")
    written = world.writers.write(
        OWNER,
        "bot",
        [
            Write(WriteKind.UPSERT, key, {"text": text})
            for key, text in [("a", "fine"), ("b", "poison too"), ("c", "fine as well")]
        ],
    )
    world.deliver()
    assert {"k000": "text 0", "a": "fine", "c": "fine as well"} == world.texts_of(SOURCE)
    told = world.writers.applied(written, 0)
    assert ["b"] == [one.key for one in told.failed]
    assert "refused" in told.failed[0].message
    journal, failed = world.writers.journal(OWNER, "bot")
    assert (4, 2, ["k000", "b"]) == (journal.applied, journal.failed, [f.key for f in failed])


def test_a_failure_is_over_when_its_key_is_written_well() -> None:
    world = World(1)
    world.embedders.refuse("poison")
    world.upsert("a", "b", text="poison")
    world.deliver()
    world.upsert("a", text="fine")
    world.delete("b")
    world.deliver()
    assert [] == world.writers.journal(OWNER, "bot")[1]


def test_a_chunk_that_milvus_refuses_is_passed_over_and_its_neighbours_are_written() -> None:
    world = World(1)
    upsert = world.vectors.upsert

    def refusing(schema, chunks, vectors):  # type: ignore[no-untyped-def]
        if any(chunk.key == "bad" for chunk in chunks):
            raise VectorStoreRefused("Milvus refused upsert: no such thing")
        upsert(schema, chunks, vectors)

    world.vectors.upsert = refusing  # type: ignore[method-assign]
    world.upsert("a", "b", "bad", "c")
    world.deliver()
    assert {"k000", "a", "b", "c"} == world.texts_of(SOURCE).keys()
    assert [] == world.wrongly_embedded(SOURCE, SMALL)
    (failed,) = world.writers.journal(OWNER, "bot")[1]
    assert ("bad", "vector-store-refused") == (failed.key, failed.code)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ProviderUnavailable("It does not answer."), applying.SOON_SECONDS),
        (ProviderAuthenticationFailed("The key is no good."), applying.LATER_SECONDS),
    ],
)
def test_a_provider_that_answers_nobody_is_waited_for_and_nothing_is_lost(
    error: Exception, seconds: float
) -> None:
    world = World(1)
    world.embedders.fail(error, times=None)
    world.upsert("a")
    world.deliver()
    journal = world.store.journal("bot")
    assert (0, 0, error.args[0]) == (journal.applied, journal.failed, journal.waiting_for)
    world.embedders.recover()
    world.watchdog.look()
    assert [] == world.pending()
    world.clock.sleep(seconds + 0.1)
    world.watchdog.look()
    world.deliver()
    journal = world.store.journal("bot")
    assert (1, None) == (journal.applied, journal.waiting_for)


def test_a_milvus_that_is_away_is_waited_for() -> None:
    world = World(1)
    world.vectors.fail("upsert", VectorStoreUnavailable("Milvus does not answer."))
    world.upsert("a")
    world.deliver()
    assert 0 == applied(world)
    world.clock.sleep(applying.SOON_SECONDS + 0.1)
    world.watchdog.look()
    world.deliver()
    assert ("a" in world.texts_of(SOURCE), applied(world)) == (True, 1)


def test_a_milvus_that_is_away_refuses_nobody_whose_collection_was_seen_before() -> None:
    world = World(1)
    world.upsert("a")
    world.clock.sleep(3600)
    world.vectors.fail("describe", VectorStoreUnavailable("Milvus does not answer."), times=9)
    assert 2 == world.upsert("b").appended.upto


def test_a_broker_that_is_away_refuses_nobody() -> None:
    world = World(1)
    world.dispatcher.fails_with = CheckpointsUnavailable("The broker does not answer.")
    with pytest.raises(CheckpointsUnavailable):  # in the API this is a thread of its own
        world.upsert("a")
    world.dispatcher.fails_with = None
    world.clock.sleep(WOKEN_SECONDS + 0.1)
    world.watchdog.look()
    world.deliver()
    assert 1 == applied(world)


def test_a_late_one_who_has_written_over_newer_things_has_them_written_again() -> None:
    """He stood still after his lease had ended, and another one has gone on meanwhile."""
    world = World(1)

    def meanwhile() -> None:
        world.clock.sleep(60)
        world.upsert("a", text="new")
        world.elsewhere(world.apply)
        assert "new" == world.texts_of(SOURCE)["a"]

    world.upsert("a", text="old")
    schema = world.vectors.describe(SOURCE)
    world.dispatcher.woken.clear()
    world.vectors.before("upsert", meanwhile)
    world.apply()
    assert ("old", 0) == (world.texts_of(schema.name)["a"], applied(world))
    world.clock.sleep(60)
    world.watchdog.look()
    world.deliver()
    assert ("new", 2) == (world.texts_of(SOURCE)["a"], applied(world))


def test_one_applies_at_a_time() -> None:
    world = World(1)
    world.upsert("a")
    assert world.store.take_lease(ApplierLease("bot"), "another", 10)
    world.deliver()
    assert 0 == applied(world)
    world.store.release_lease(ApplierLease("bot"), "another")
    world.apply()
    assert 1 == applied(world)


def test_a_long_text_is_treated_as_the_run_did_it_that_has_made_what_is_live() -> None:
    world = World(1)
    world.embedders.max_input_tokens = 20
    text = " ".join(f"word{n}" for n in range(60))
    world.upsert("a", text=text)
    world.deliver()
    assert ["text-too-long"] == [f.code for f in world.writers.journal(OWNER, "bot")[1]]
    world.complete(over_long=OverLong.TRUNCATE)
    world.upsert("a", text=text)
    world.deliver()
    assert [] == world.writers.journal(OWNER, "bot")[1]
    assert text == world.texts_of(world.bot.live.collection)["a"]


def test_more_than_may_wait_is_refused_and_nothing_of_it_is_kept() -> None:
    world = World(1, settings={"journal_most_waiting": 1000})
    world.upsert(*(f"a{n}" for n in range(999)))
    with pytest.raises(JournalFull):
        world.upsert("x", "y")
    world.deliver()
    assert 999 == applied(world)
    world.upsert("x", "y")
    world.deliver()
    assert 1001 == applied(world)


def test_a_request_that_is_sent_again_with_its_key_is_written_once() -> None:
    world = World(1)
    writes = [Write(WriteKind.UPSERT, "a", {"text": "first"})]
    first = world.writers.write(OWNER, "bot", writes, "its key")
    world.upsert("a", text="second")
    again = world.writers.write(OWNER, "bot", writes, "its key")
    assert (first.appended.upto, True) == (again.appended.upto, again.appended.replayed)
    world.deliver()
    assert "second" == world.texts_of(SOURCE)["a"]
    with pytest.raises(IdempotencyConflict):
        world.writers.write(OWNER, "bot", [Write(WriteKind.DELETE, "a")], "its key")


def test_another_owners_bot_is_as_if_it_were_not_there() -> None:
    world = World(1)
    with pytest.raises(BotNotFound):
        world.writers.write(Caller("stranger"), "bot", [Write(WriteKind.DELETE, "a")])
    with pytest.raises(BotNotFound):
        world.writers.journal(Caller("stranger"), "bot")
