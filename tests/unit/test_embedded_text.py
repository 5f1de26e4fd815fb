"""Which text was embedded: taken by itself only if the stored vectors prove it, and it alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from devstack.provider import tokens_of, vector_for
from migrations.bots.recipe_search import GLANCE, SAMPLE
from migrations.embedding.over_long import combined, parts_as_before
from migrations.model.config import OverLong
from migrations.model.errors import (
    CollectionNotLoaded,
    InvalidConfiguration,
    ProviderUnavailable,
    UnknownModel,
)
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.states import Status
from migrations.model.texts import (
    FieldRecipe,
    LlamaIndexRecipe,
    SpringAiRecipe,
    TemplateRecipe,
    recipe_of,
)
from migrations.proof.fidelity import ECHOED
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
    """The field that is embedded, or the recipe as JSON."""
    wish = {"provider": "fake", "model": "small", **wish}
    recipe = world.system.register_bot(OWNER, BotRegistration("zoo", "zoo", **wish)).recipe
    return recipe.field if isinstance(recipe, FieldRecipe) else recipe.model_dump_json()


def refusal(world: World, **wish: Any) -> str:
    with pytest.raises(InvalidConfiguration) as raised:
        register(world, **wish)
    assert ["bot"] == [bot.bot_id for bot in world.store.bots()]
    assert None is world.vectors.resolve_alias("zoo_live")
    return raised.value.message


@pytest.mark.parametrize("name", ["text", "page_content", "LangChain_Text", "doc", "teamId"])
def test_the_column_that_proves_itself_is_taken_wherever_it_stands_and_whatever_its_name(
    name: str,
) -> None:
    rows = [row(i, **{"title": "title {}", name: "text {}", "url": "url {}"}) for i in range(12)]
    assert name == register(world_with(["title", name, "url"], rows))


def test_where_none_fits_all_are_named_with_their_cosines() -> None:
    rows = [row(i, "another {}", text="text {}", url="url {}") for i in range(12)]
    sentence = refusal(world_with(["url", "text"], rows))
    assert "does not give the stored vectors for" in sentence
    assert "the text field 'text' (median cosine" in sentence
    assert "the text field 'url' (median cosine" in sentence
    assert "its VARCHAR columns are: url, text." in sentence


def test_of_two_that_say_text_the_one_that_was_embedded_is_taken() -> None:
    rows = [row(i, text="lemma {}", content="text {}") for i in range(12)]
    assert "content" == register(world_with(["text", "content"], rows))


def test_of_two_that_were_both_embedded_none_is_taken() -> None:
    rows = [row(i, text="text {}", content="text {}") for i in range(12)]
    sentence = refusal(world_with(["text", "content"], rows))
    assert "several texts: the text field 'text', the text field 'content'" in sentence


def test_an_empty_field_is_no_candidate() -> None:
    rows = [row(i, text="", url="url {}") for i in range(12)]
    assert "'text'" not in refusal(world_with(["text", "url"], rows)).partition(":")[0]


# --- wherever it stands -----------------------------------------------------------------


def test_a_member_of_the_dynamic_field_is_taken() -> None:
    rows = [row(i, text="text {}", doc_id="doc {}") for i in range(12)]
    assert "text" == register(world_with(["doc_id"], rows))


@pytest.mark.parametrize(
    ("json", "field"),
    [
        (lambda i: {"data": {"text": f"text {i}", "page": 1}}, "data.text"),
        (lambda i: {"metadata": {"a": {"b": f"text {i}"}, "text": "no"}}, "metadata.a.b"),
    ],
)
def test_a_path_into_json_is_taken(json: Any, field: str) -> None:
    assert field == register(world_with([], [row(i) | json(i) for i in range(12)]))


@pytest.mark.parametrize("between", ["\n", "\n\n", " ", ": "])
def test_a_title_before_the_text_is_found(between: str) -> None:
    embedded = f"title {{0}}{between}body {{0}}"
    rows = [row(i, embedded, title="title {}", text="body {}") for i in range(12)]
    found = recipe_of(orjson.loads(register(world_with(["title", "text"], rows))))
    assert TemplateRecipe(template=f"{{title}}{between}{{text}}") == found


def test_llama_indexs_text_is_found() -> None:
    node = '{{"metadata": {{"product": "P {}"}}}}'
    rows = [
        row(i, "product: P {0}\n\nbody {0}", text="body {}", _node_content=node, doc_id="d {}")
        for i in range(12)
    ]
    found = recipe_of(orjson.loads(register(world_with(["doc_id"], rows))))
    assert LlamaIndexRecipe(framework="llama-index", field="text") == found


def test_spring_ais_text_is_found_and_plain_text_is_where_there_is_no_metadata() -> None:
    rows = [
        row(i, "page: {0}\n\nbody {0}", content="body {}") | {"metadata": {"page": i}}
        for i in range(12)
    ]
    found = recipe_of(orjson.loads(register(world_with(["content"], rows))))
    assert SpringAiRecipe(framework="spring-ai") == found
    plain = [row(i, "body {}", content="body {}") | {"metadata": {"page": i}} for i in range(12)]
    assert "content" == register(world_with(["content"], plain))


# --- the sample -------------------------------------------------------------------------


def test_rows_from_all_over_prove_a_field_also_where_vectors_differ_in_length() -> None:
    """By L2 from nearby only the shortest would be seen, the few that were embedded from it."""
    rows = [row(i, "title {}" if i % 3 else "text {}", text="text {}") for i in range(300)]
    for i, one in enumerate(rows):
        one["vector"] = one["vector"] * (14.0 if i % 3 else 10.0)
    world = World(0)
    world.vectors.seed("zoo", rows, SMALL.dimension, text_candidates=("text",), metric="L2")
    assert "does not give the stored vectors for the text field 'text'" in refusal(world)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda e: e.fail(ProviderUnavailable("It is gone."), times=None), "It is gone."),
        (
            lambda e: e.fail(UnknownModel("It is off."), times=None),
            "It is off.",
        ),
        (lambda e: e.without_key("fake"), "The key of fake is not set."),
    ],
)
def test_a_model_that_cannot_be_asked_leaves_it_to_the_caller(fault: Any, words: str) -> None:
    world = world_with(["text"], [row(i, text="text {}") for i in range(12)])
    fault(world.embedders)
    sentence = refusal(world)
    assert f"cannot be asked which text was embedded ({words}" in sentence
    assert "State it as text or text_field." in sentence
    assert "text" == register(world, recipe=FieldRecipe(field="text"))


def test_a_field_that_is_stated_is_taken_without_a_proof() -> None:
    world = world_with(["text", "teamId"], [row(i, teamId="team", text="x") for i in range(12)])
    assert "teamId" == register(world, recipe=FieldRecipe(field="teamId"))
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
    rows = [row(i, text="" if i % 5 < 2 else "text {}") for i in range(400)]
    assert "text" == register(world_with(["text"], rows))


def test_ten_texts_are_paid_for_each_candidate_and_a_hundred_for_the_likely_one() -> None:
    names = [f"meta{i}" for i in range(20)]
    rows = [row(i, text="text {}", **{n: f"{n} {{}}" for n in names}) for i in range(400)]
    world = world_with(["text", *names], rows)
    assert "text" == register(world)
    asked_twice = ECHOED + 1  # and a text of our own
    assert world.embedders.texts <= 20 * GLANCE + SAMPLE + asked_twice
    assert SAMPLE <= world.embedders.embedded.total()


def test_a_candidate_of_which_the_model_takes_no_text_does_not_end_the_search() -> None:
    rows = [row(i, text="text {}", blob="poison {}") for i in range(12)]
    world = world_with(["blob", "text"], rows)
    world.embedders.refuse("poison")
    assert "text" == register(world)


def test_where_the_model_takes_no_text_of_any_candidate_that_is_said() -> None:
    world = world_with(["text"], [row(i, text="text {}") for i in range(12)])
    world.embedders.refuse("text")
    assert "'text' (no text in the sample that the model takes)" in refusal(world)


def test_a_text_that_the_model_refuses_is_left_out_of_the_proof() -> None:
    world = world_with(["text"], [row(i, text="text {}") for i in range(30)])
    world.embedders.refuse("text 7")
    assert "text" == register(world)


def test_a_collection_that_is_not_loaded_is_said_so() -> None:
    world = world_with(["text"], [row(i, text="text {}") for i in range(12)])
    world.vectors.release("zoo")
    with pytest.raises(CollectionNotLoaded):
        register(world)


# --- what was done with it ----------------------------------------------------------------


def test_a_text_in_lower_case_is_found_migrated_in_lower_case_and_gone_back_from() -> None:
    rows = [row(i, "text {} and more", text="Text {} And More") for i in range(12)]
    world = world_with(["text"], rows)
    register(world)
    assert FieldRecipe(field="text", lower=True) == world.store.bot("zoo").recipe
    wish = StartRequest("zoo", "fake", "large", retry_delay=0.0)
    migration = world.system.start_migration(OWNER, wish).migration
    world.deliver()
    made = world.contents(world.store.bot("zoo").live.collection)
    expected = vector_for("large", "text 3 and more", 16)
    assert expected.tobytes() == made["k003"][1]
    assert "Text 3 And More" == made["k003"][0]["text"]
    back = world.system.rollback(OWNER, migration.id).migration
    world.settle()
    assert Status.COMPLETED == world.now(back).status


def test_texts_that_were_split_for_the_old_model_go_and_come_back() -> None:
    """Wholly too long for it, they could neither be judged nor taken back before."""
    split = FieldRecipe(field="text", split_tokens=25)
    texts = [f"{i} and so on " * 10 for i in range(12)]
    world = World(0)
    world.embedders.max_input_tokens = 26
    rows = [
        {"pk": f"k{i:03}", "text": text, "vector": averaged(split, text)}
        for i, text in enumerate(texts)
    ]
    world.vectors.seed("zoo", rows, SMALL.dimension, text_candidates=("text",))
    register(world, recipe=split)
    wish = StartRequest("zoo", "fake", "large", retry_delay=0.0, over_long=OverLong.SPLIT)
    migration = world.system.start_migration(OWNER, wish).migration
    world.deliver()
    done = world.now(migration)
    assert Status.COMPLETED == done.status, done.error
    assert done.proof is not None
    assert (12, 0) == (done.proof.judged, done.proof.strangers)
    back = world.system.rollback(OWNER, migration.id).migration
    world.settle()
    assert Status.COMPLETED == world.now(back).status, world.now(back).error


def averaged(recipe: FieldRecipe, text: str) -> Any:
    parts = parts_as_before(recipe, text, tokens_of)
    assert len(parts.texts) > 1
    return combined(parts, {p: vector_for("small", p, SMALL.dimension) for p in parts.texts})


def test_what_was_put_before_each_text_is_named_and_is_no_part_of_the_text() -> None:
    rows = [row(i, "passage: text {}", text="text {}") for i in range(12)]
    world = world_with(["text"], rows)
    assert "text" == register(world)
    assert "passage: " == world.system.bot(OWNER, "zoo").live.embedding.document_role.prefix
