"""The text field of a bot: taken by itself only if its name says so and its vectors prove it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from devstack.provider import vector_for
from migrations.model.errors import (
    CollectionNotLoaded,
    InvalidConfiguration,
    ProviderUnavailable,
    UnknownModel,
)
from migrations.model.requests import BotRegistration
from tests.fakes.embedders import SMALL
from tests.fakes.world import OWNER, World

Row = dict[str, Any]


def row(i: int, embedded: str = "text {}", **fields: str) -> Row:
    """A chunk whose vector is of ``embedded``."""
    vector = vector_for("small", embedded.format(i), SMALL.dimension)
    return {"pk": f"k{i:03}", "vector": vector, **{n: v.format(i) for n, v in fields.items()}}


def world_with(columns: Sequence[str], rows: Sequence[Row]) -> World:
    world = World(0)
    world.vectors.seed("zoo", rows, SMALL.dimension, text_candidates=tuple(columns))
    return world


def register(world: World, **wish: Any) -> str:
    wish = {"provider": "fake", "model": "small", **wish}
    return world.system.register_bot(OWNER, BotRegistration("zoo", "zoo", **wish)).text_field


def refusal(world: World, **wish: Any) -> str:
    with pytest.raises(InvalidConfiguration) as raised:
        register(world, **wish)
    assert ["bot"] == [bot.bot_id for bot in world.store.bots()]
    assert None is world.vectors.resolve_alias("zoo_live")
    return raised.value.message


@pytest.mark.parametrize("name", ["text", "page_content", "pageContent", "LangChain_Text", "doc"])
def test_a_field_that_says_text_and_proves_it_is_taken_wherever_it_stands(name: str) -> None:
    rows = [row(i, **{"title": "title {}", name: "text {}", "url": "url {}"}) for i in range(12)]
    assert name == register(world_with(["title", name, "url"], rows))


def test_a_field_that_does_not_say_text_is_not_taken_though_it_was_embedded() -> None:
    world = world_with(["teamId", "datasetId"], [row(i, teamId="text {}") for i in range(12)])
    sentence = refusal(world)
    assert "No name of a VARCHAR field says that it holds the text." in sentence
    assert "as text_field; there are: teamId, datasetId." in sentence
    assert 0 == world.embedders.calls


def test_a_field_that_says_text_and_was_not_embedded_is_refused_with_its_cosine() -> None:
    rows = [row(i, "title {}", text="text {}", url="url {}") for i in range(12)]
    sentence = refusal(world_with(["url", "text"], rows))
    assert "does not give the stored vectors for 'text' (median cosine" in sentence
    assert "as text_field; there are: url, text." in sentence


def test_of_two_that_say_text_the_one_that_was_embedded_is_taken() -> None:
    rows = [row(i, text="lemma {}", content="text {}") for i in range(12)]
    assert "content" == register(world_with(["text", "content"], rows))


def test_of_two_that_were_both_embedded_none_is_taken() -> None:
    rows = [row(i, text="text {}", content="text {}") for i in range(12)]
    assert "several fields: 'text', 'content'" in refusal(world_with(["text", "content"], rows))


def test_rows_from_all_over_prove_a_field_also_where_vectors_differ_in_length() -> None:
    """By L2 from nearby only the shortest would be seen, the few that were embedded from it."""
    rows = [row(i, "title {}" if i % 3 else "text {}", text="text {}") for i in range(300)]
    for i, one in enumerate(rows):
        one["vector"] = one["vector"] * (14.0 if i % 3 else 10.0)
    world = World(0)
    world.vectors.seed("zoo", rows, SMALL.dimension, text_candidates=("text",), metric="L2")
    assert "does not give the stored vectors for 'text'" in refusal(world)


def test_a_field_that_says_text_and_is_empty_everywhere_is_refused() -> None:
    rows = [row(i, text="", url="text {}") for i in range(12)]
    assert "'text' (no text in the sample)" in refusal(world_with(["text", "url"], rows))


def test_a_text_in_the_dynamic_field_is_refused_in_a_sentence_that_says_so() -> None:
    rows = [row(i, text="text {}", doc_id="doc {}") for i in range(12)]
    sentence = refusal(world_with(["doc_id"], rows))
    assert "seems to lie in 'text', in the dynamic field or in JSON" in sentence
    assert "there are: doc_id" in sentence
    stated = refusal(world_with(["doc_id"], rows), text_field="text")
    assert "it has: doc_id. Only a VARCHAR field can be one, no member of the dynamic" in stated


def test_a_text_in_json_is_refused_in_a_sentence_that_says_so() -> None:
    rows = [{**row(i), "data": {"text": f"text {i}", "page": 1}} for i in range(12)]
    sentence = refusal(world_with([], rows))
    assert "no VARCHAR field" in sentence
    assert "seems to lie in 'data.text', in the dynamic field or in JSON" in sentence


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda e: e.fail(ProviderUnavailable("It is gone."), times=None), "It is gone."),
        (
            lambda e: e.fail(UnknownModel("It is off."), times=None),
            "It is off.",
        ),
        (lambda e: e.without_key("fake"), "The key of fake is not set."),
        (lambda e: e.refuse("text"), "The model refuses every text"),
    ],
)
def test_a_model_that_cannot_be_asked_leaves_it_to_the_caller(fault: Any, words: str) -> None:
    world = world_with(["text"], [row(i, text="text {}") for i in range(12)])
    fault(world.embedders)
    sentence = refusal(world)
    assert f"cannot be asked which field was embedded ({words}" in sentence
    assert "as text_field; there are: text." in sentence
    assert "text" == register(world, text_field="text")


def test_a_field_that_is_stated_is_taken_without_a_proof() -> None:
    world = world_with(["text", "teamId"], [row(i, teamId="team", text="x") for i in range(12)])
    assert "teamId" == register(world, text_field="teamId")
    assert 0 == world.embedders.calls


@pytest.mark.parametrize("columns", [["text"], ["url", "text"]])
def test_in_an_empty_collection_the_only_name_that_says_text_is_enough(columns: list[str]) -> None:
    world = world_with(columns, [])
    assert "text" == register(world)
    assert 0 == world.embedders.calls


@pytest.mark.parametrize("columns", [["teamId"], ["text", "content"], []])
def test_an_empty_collection_with_none_or_several_is_asked_about(columns: list[str]) -> None:
    assert "The collection is empty" in refusal(world_with(columns, []))


def test_the_sample_comes_from_all_over_the_collection_and_not_from_its_first_page() -> None:
    rows = [row(i, "text {}" if i < 120 else "title {}", text="text {}") for i in range(400)]
    assert "does not give the stored vectors" in refusal(world_with(["text"], rows))


def test_rows_without_a_text_are_passed_over() -> None:
    rows = [row(i, text="" if i < 200 else "text {}") for i in range(400)]
    assert "text" == register(world_with(["text"], rows))


def test_no_more_than_fifty_texts_are_paid_for() -> None:
    world = world_with(["text"], [row(i, text="text {}") for i in range(400)])
    register(world)
    assert 20 <= world.embedders.texts <= 50


def test_a_text_that_the_model_refuses_is_left_out_of_the_proof() -> None:
    world = world_with(["text"], [row(i, text="text {}") for i in range(30)])
    world.embedders.refuse("text 7")
    assert "text" == register(world)


def test_a_collection_that_is_not_loaded_is_said_so() -> None:
    world = world_with(["text"], [row(i, text="text {}") for i in range(12)])
    world.vectors.release("zoo")
    with pytest.raises(CollectionNotLoaded):
        register(world)
