"""A reader's search: of one pair, whatever happens in between, and of no more than it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from migrations.model.bots import Caller
from migrations.model.errors import (
    BotNotFound,
    CollectionNotFound,
    ProviderAuthenticationFailed,
    ProviderUnavailable,
    QuestionRefused,
    ReembedError,
    SearchRefused,
    StateStoreUnavailable,
    TextsUnavailable,
    VectorStoreUnavailable,
)
from migrations.model.roles import TextRole
from migrations.model.search import Answered, Search
from migrations.readers.question import Spending
from migrations.readers.search import BELIEVED_SECONDS, Searching
from tests.fakes.embedders import SMALL
from tests.fakes.world import OWNER, SOURCE, World


class Reading:
    """A bot of twelve chunks, and somebody who searches it."""

    def __init__(self, **world: Any) -> None:
        self.world = World(**world)
        self.spending = Spending(self.world.services)
        self.searching = Searching(self.world.services, self.spending)

    def search(self, *texts: str, caller: Caller = OWNER, **wish: Any) -> Answered:
        return self.searching.search(caller, "bot", Search(texts or ("text 3",), **wish))

    def best(self, *texts: str, **wish: Any) -> list[str]:
        return [str(page[0].key) for page in self.search(*texts, **wish).found]


@pytest.fixture
def reading() -> Reading:
    return Reading()


def test_each_text_finds_its_own_chunk_with_its_fields_and_its_text(reading: Reading) -> None:
    assert ["k003", "k007", "k003"] == reading.best("text 3", "text 7", "text 3")
    found = reading.search(limit=1, output_fields=("page",)).found[0][0]
    assert ("text 3", {"page": 1}) == (found.text, found.fields)
    alone = reading.search(limit=1, output_fields=(), with_text=False).found[0][0]
    assert (None, {}) == (alone.text, alone.fields)
    whole = reading.search(limit=1).found[0][0]
    assert {"pk": "k003", "text": "text 3", "page": 1} == whole.fields


def test_a_text_that_stands_in_a_table_comes_with_its_chunk_as_it_stands_there_now() -> None:
    reading = Reading(in_a_table=True)
    found = reading.search(limit=1).found[0][0]
    assert ("k003", "text 3", {"pk": "k003", "page": 1}) == (found.key, found.text, found.fields)
    reading.world.tables.texts["k003"] = "text 3, mended"
    some = reading.search(limit=1, output_fields=("page",)).found[0][0]
    assert ("text 3, mended", {"page": 1}) == (some.text, some.fields)
    del reading.world.tables.texts["k003"]
    assert "" == reading.search(limit=1).found[0][0].text


def test_a_table_that_is_away_is_told_to_those_alone_who_want_the_text() -> None:
    reading = Reading(in_a_table=True)
    reading.world.tables.away = 2
    with pytest.raises(TextsUnavailable):
        reading.search()
    without = reading.search(limit=1, with_text=False).found[0][0]
    assert ("k003", None) == (without.key, without.text)


def test_after_a_switch_the_other_model_asks_the_other_collection(reading: Reading) -> None:
    before = reading.search()
    reading.world.complete()
    after = reading.search()
    assert [(1, 8), (2, 16)] == [
        (answer.live.generation, answer.live.embedding.dimension) for answer in (before, after)
    ]
    assert ["k003", "k003"] == [answer.found[0][0].key for answer in (before, after)]


def test_who_meets_a_collection_that_a_switch_has_left_asks_the_new_pair(reading: Reading) -> None:
    def switch() -> None:
        reading.world.complete()
        reading.world.vectors.drop(SOURCE)

    reading.world.vectors.before("find", switch)
    answered = reading.search()
    assert (2, "k003") == (answered.live.generation, answered.found[0][0].key)


def test_who_meets_a_model_that_a_switch_has_left_asks_the_new_pair(reading: Reading) -> None:
    def switch(texts: Sequence[str]) -> None:
        reading.world.embedders.on_embed = None
        reading.world.complete()
        reading.world.embedders.fail(ProviderAuthenticationFailed(), times=None, model="small")

    reading.world.embedders.on_embed = switch
    assert 2 == reading.search().live.generation


def test_the_new_pair_is_asked_once(reading: Reading) -> None:
    def switch() -> None:
        reading.world.complete()
        reading.world.vectors.drop(SOURCE)

    reading.world.vectors.before("find", switch)
    reading.world.vectors.fail("find", VectorStoreUnavailable())
    with pytest.raises(VectorStoreUnavailable):
        reading.search()
    assert 2 == reading.world.vectors.calls["find"]


@pytest.mark.parametrize("fault", [VectorStoreUnavailable(), CollectionNotFound()])
def test_without_a_switch_a_fault_of_milvus_is_told_at_once(
    reading: Reading, fault: ReembedError
) -> None:
    reading.world.vectors.fail("find", fault, times=2)
    with pytest.raises(type(fault)):
        reading.search()
    assert 1 == reading.world.vectors.calls["find"]


def test_what_milvus_says_of_a_collection_is_asked_once(reading: Reading) -> None:
    reading.world.vectors.calls.clear()
    for _ in range(3):
        reading.search()
    with pytest.raises(SearchRefused):
        reading.search(filter="page ==")
    reading.search()
    assert 1 == reading.world.vectors.calls["describe"]


def test_what_milvus_said_is_asked_again_after_a_fault_and_after_a_while(reading: Reading) -> None:
    reading.search()
    reading.world.vectors.calls.clear()
    reading.world.vectors.fail("find", VectorStoreUnavailable())
    with pytest.raises(VectorStoreUnavailable):
        reading.search()
    reading.search()
    reading.world.clock.sleep(BELIEVED_SECONDS)
    reading.search()
    assert 2 == reading.world.vectors.calls["describe"]


def test_questions_are_asked_in_the_role_of_queries(reading: Reading) -> None:
    asks = TextRole(prefix="query: ")
    reading = Reading(stated={"query_role": asks, "unusual_roles": True})
    asked: list[str] = []
    reading.world.embedders.on_embed = asked.extend
    reading.search("text 3")
    assert ["query: text 3"] == asked


def test_questions_take_the_turns_of_queries_and_are_paid_by_the_bots_owner(
    reading: Reading,
) -> None:
    reading.world.limiter.granted.clear()
    billed = reading.world.embedders.billed
    for _ in range(2):
        reading.search("text 3")
    reading.spending.flush()
    assert ["query", "query"] == [ticket.purpose for ticket in reading.world.limiter.granted]
    paid = reading.world.embedders.billed - billed
    assert paid == reading.world.store.tokens_of_errands("bot") > 0


def test_what_cannot_be_written_down_now_is_written_down_later(reading: Reading) -> None:
    record, fails = reading.world.store.record_errand, [True]

    def refuse(*args: Any, **spent: Any) -> None:
        if fails:
            raise StateStoreUnavailable
        record(*args, **spent)

    reading.world.store.record_errand = refuse  # type: ignore[method-assign]
    reading.spending.pay("me", "bot", SMALL, "search", 7)
    reading.spending.flush()
    fails.clear()
    reading.spending.flush()
    reading.spending.flush()
    assert 7 == reading.world.store.tokens_of_errands("bot")


@pytest.mark.parametrize(("metric", "threshold"), [("COSINE", 0.999), ("IP", 0.999), ("L2", 0.001)])
def test_a_threshold_leaves_out_what_is_worse_by_the_metric(
    reading: Reading, metric: str, threshold: float
) -> None:
    reading.world.vectors.reshape(SOURCE, metric=metric)
    answered = reading.search(score_threshold=threshold)
    assert (metric, ["k003"]) == (answered.metric, [hit.key for hit in answered.found[0]])


def test_a_text_that_the_model_refuses_is_the_askers(reading: Reading) -> None:
    reading.world.embedders.refuse("nonsense")
    with pytest.raises(QuestionRefused, match="refused: nonsense"):
        reading.search("nonsense")


def test_a_provider_that_is_down_is_told_within_seconds(reading: Reading) -> None:
    reading.world.embedders.fail(ProviderUnavailable(), times=None)
    began = reading.world.clock.monotonic()
    with pytest.raises(ProviderUnavailable):
        reading.search()
    assert reading.world.clock.monotonic() - began < 5


def test_another_owners_bot_is_as_if_it_did_not_exist(reading: Reading) -> None:
    with pytest.raises(BotNotFound):
        reading.search(caller=Caller("somebody else"))
