"""The text of a chunk that is embedded: one place says what it is made of."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.model.texts import Recipe
from tests.fakes.world import World


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"body": "said"}, "said"), ({"body": None}, ""), ({"body": ""}, ""), ({"text": "no"}, "")],
)
def test_a_text_is_its_column_and_empty_where_a_row_has_none(
    fields: dict[str, Any], text: str
) -> None:
    assert text == Recipe("body").text_of(fields)


def test_whoever_asks_for_the_fields_of_a_text_can_make_it() -> None:
    recipe = World().bot.recipe
    fields = dict.fromkeys(recipe.fields, "said")
    assert ("said", "the text field 'text'") == (recipe.text_of(fields), str(recipe))
