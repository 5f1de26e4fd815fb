"""The text of a chunk that is embedded: one place says how it is made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from migrations.model.chunks import LOOKED_UP, LookedUp
from migrations.model.texts import (
    FieldRecipe,
    LlamaIndexRecipe,
    SpringAiRecipe,
    SqlRecipe,
    recipe_of,
)
from tests.fakes.world import World

IN_A_TABLE = {"sql": "REEMBED_TEXTS_A", "table": "t", "key": "id", "column": "text"}


def text_of(recipe: dict[str, Any], **fields: Any) -> str:
    return recipe_of(recipe).text_of(fields)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"body": "said"}, "said"),
        ({"body": None}, ""),
        ({"body": ""}, ""),
        ({"text": "no"}, ""),
        ({"body": 7}, "7"),
        ({"body": {"text": "no"}}, ""),
        ({"body": ["no"]}, ""),
    ],
)
def test_a_text_is_its_field_and_empty_where_a_row_has_none(
    fields: dict[str, Any], text: str
) -> None:
    assert text == FieldRecipe(field="body").text_of(fields)


@pytest.mark.parametrize(
    ("field", "fields", "text"),
    [
        ("data.text", {"data": {"text": "said"}}, "said"),
        ("a.b.c", {"a": {"b": {"c": "said"}}}, "said"),
        ("data.text", {"data.text": "a member's name", "data": {"text": "no"}}, "a member's name"),
        ("data.text", {"data": "no object"}, ""),
        ("data.text", {"data": {}}, ""),
        ("data.text", {}, ""),
    ],
)
def test_a_field_may_be_a_path_into_json(field: str, fields: dict[str, Any], text: str) -> None:
    assert text == text_of({"field": field}, **fields)


def test_a_template_puts_fields_together() -> None:
    recipe = {"template": "{title}: {data.text} {{as it is}}"}
    assert "T: said {as it is}" == text_of(recipe, title="T", data={"text": "said"})
    assert ": said {as it is}" == text_of(recipe, data={"text": "said"})
    assert "" == text_of(recipe, other="x"), "a row without any of its fields has no text"
    assert "" == text_of(recipe | {"missing": "no_text"}, data={"text": "said"})


@pytest.mark.parametrize(
    "recipe",
    [
        {"template": "no field"},
        {"template": "{a.__class__!r}"},
        {"template": "{a:>10}"},
        {"template": "{}"},
        {"template": "{a"},
        {"field": ""},
        {"field": "a", "template": "{a}"},
        {"framework": "unknown"},
        {"sql": "REEMBED_TEXTS_A", "table": "t", "key": "id"},
        {"sql": "REEMBED_TEXTS_A", "table": "", "key": "id", "column": "text"},
        {},
    ],
)
def test_what_is_no_recipe_is_refused(recipe: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        recipe_of(recipe)


def test_what_a_value_holds_is_no_template() -> None:
    assert "{b} x" == text_of({"template": "{a} {b}"}, a="{b}", b="x")


# --- the ways of frameworks -----------------------------------------------------------

NODE = {
    "metadata": {},
    "excluded_embed_metadata_keys": [],
    "excluded_llm_metadata_keys": [],
    "relationships": {},
    "metadata_template": "{key}: {value}",
    "metadata_separator": "\n",
    "text": "",
    "text_template": "{metadata_str}\n\n{content}",
    "class_name": "TextNode",
}


@pytest.mark.parametrize(
    ("text", "node", "embedded"),
    [
        (
            "The pump is loud.",
            {
                "metadata": {"product": "P 17", "page": 3, "author": None, "ok": True},
                "excluded_embed_metadata_keys": ["page"],
            },
            "product: P 17\nauthor: None\nok: True\n\nThe pump is loud.",
        ),
        ("  Two lines\nof text ", {}, "  Two lines\nof text "),
        (
            "x",
            {
                "metadata": {"a": "b", "c": "d"},
                "text_template": "[{metadata_str}] {content}",
                "metadata_template": "{key}={value}",
                "metadata_separator": "; ",
            },
            "[a=b; c=d] x",
        ),
        (
            "curly {content} and {metadata_str}",
            {"metadata": {"k": "{content} v"}},
            "k: {content} v\n\ncurly {content} and {metadata_str}",
        ),
    ],
)
def test_llama_index_embeds_what_its_node_says(
    text: str, node: dict[str, Any], embedded: str
) -> None:
    """Nodes and texts are those of llama-index-core 0.14.25: ``TextNode.get_content(EMBED)``."""
    fields = {"text": text, "_node_content": json.dumps({**NODE, **node})}
    assert embedded == LlamaIndexRecipe(framework="llama-index").text_of(fields)


def test_a_llama_index_row_without_its_node_has_no_text() -> None:
    recipe = LlamaIndexRecipe(framework="llama-index")
    assert "" == recipe.text_of({"text": "said"})
    assert "" == recipe.text_of({"text": "said", "_node_content": "no JSON"})


def test_spring_ai_embeds_metadata_lines_an_empty_line_and_the_text() -> None:
    recipe = SpringAiRecipe(framework="spring-ai")
    metadata = {"source": "manual.pdf", "page": 3, "draft": False, "score": 1.5, "by": None}
    expected = "source: manual.pdf\npage: 3\ndraft: false\nscore: 1.5\nby: null\n\nThe pump."
    assert expected == recipe.text_of({"content": "The pump.", "metadata": metadata})
    assert expected == recipe.text_of({"content": "The pump.", "metadata": json.dumps(metadata)})
    assert "" == recipe.text_of({"metadata": metadata})


# --- all of them ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "fields"),
    [
        ({"field": "text"}, ["text"]),
        ({"field": "metadata.text"}, ["metadata"]),
        ({"template": "{title} {data.text} {data.more}"}, ["title", "data"]),
        ({"framework": "llama-index"}, ["text", "_node_content"]),
        ({"framework": "spring-ai", "metadata": "m"}, ["content", "m"]),
        (IN_A_TABLE, ["$looked_up"]),
        (IN_A_TABLE | {"looked_up_by": "meta.id", "table_schema": "s"}, ["$looked_up", "meta"]),
    ],
)
def test_a_recipe_names_what_milvus_is_asked_for_and_is_the_same_after_json(
    recipe: dict[str, Any], fields: list[str]
) -> None:
    made = recipe_of(recipe)
    assert fields == made.fields
    assert made == recipe_of(json.loads(json.dumps(made.model_dump(mode="json"))))


@pytest.mark.parametrize(
    "named",
    ["REEMBED_DATABASE_URL", "STUB_API_KEY", "REEMBED_TEXTS_", "postgresql://u:secret@host/x", ""],
)
def test_a_recipe_names_no_other_variable_than_those_of_texts(named: str) -> None:
    with pytest.raises(ValidationError, match="begins with REEMBED_TEXTS_"):
        recipe_of(IN_A_TABLE | {"sql": named})


def test_a_text_in_a_table_is_known_by_what_is_embedded_of_it() -> None:
    plain, lower = (recipe_of(IN_A_TABLE | more) for more in ({}, {"lower": True}))
    assert isinstance(plain, SqlRecipe)
    assert isinstance(lower, SqlRecipe)
    assert plain.found("They") != plain.found("they")
    assert lower.found("They") == lower.found("they")
    assert plain.found("They") != LookedUp("", "They"), "nobody knows what that is of"
    assert "they" == lower.text_of({LOOKED_UP: lower.found("They")})
    assert "" == plain.text_of({LOOKED_UP: plain.found("")}) == plain.text_of({"text": "no"})


def test_whoever_asks_for_the_fields_of_a_text_can_make_it() -> None:
    recipe = World().bot.recipe
    fields = dict.fromkeys(recipe.fields, "said")
    assert ("said", "the text field 'text'") == (recipe.text_of(fields), str(recipe))


def test_what_is_done_with_a_text_is_done_to_it_however_it_is_made() -> None:
    fields = {"title": "Of Tuples", "text": "They Are Immutable."}
    assert "they are immutable." == text_of({"field": "text", "lower": True}, **fields)
    assert "Of Tup" == text_of({"template": "{title}: {text}", "first_characters": 6}, **fields)
    whole = {"field": "text", "split_tokens": 2}
    assert fields["text"] == text_of(whole, **fields), "a new model is given the whole text"
    assert "the text field 'text', in pieces of 2 tokens" == str(recipe_of(whole))


@pytest.mark.parametrize("plain", [{"field": "text"}, {"template": "{text}", "missing": "empty"}])
def test_a_plain_recipe_is_written_as_it_was_before_there_were_others(
    plain: dict[str, Any],
) -> None:
    assert plain == recipe_of(plain).model_dump(mode="json")
    changed = recipe_of(plain | {"lower": True})
    assert plain | {"lower": True} == changed.model_dump(mode="json")
    assert recipe_of(plain) == changed.plain()


def test_a_text_ends_in_one_way() -> None:
    with pytest.raises(ValidationError, match="it may say one"):
        recipe_of({"field": "text", "first_characters": 9, "split_tokens": 9})
