"""Which ways of making a text a collection's rows suggest: tried by their vectors, never guessed.

Names only order what is tried: every field that holds text is a candidate, wherever it
stands, and so are titles before texts and the ways of frameworks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrations.model.chunks import Chunk, CollectionSchema
from migrations.model.texts import (
    FieldRecipe,
    LlamaIndexRecipe,
    Recipe,
    SpringAiRecipe,
    TemplateRecipe,
)

#: Names that say text, and such as often stand before it, in lower case without underscores.
SAY_TEXT = frozenset(
    {
        *("text", "content", "pagecontent", "textcontent", "langchaintext", "rawtext", "data"),
        *("chunk", "chunktext", "chunkcontent", "document", "documenttext", "doc"),
        *("body", "passage", "paragraph"),
    }
)
SAY_TITLE = frozenset({"title", "heading", "header", "headline", "subject", "name", "filename"})
#: What stands between a title and its text.
BETWEEN = ("\n", "\n\n", " ", ": ")
MOST_CANDIDATES = 60
#: JSON within JSON is looked into so deep.
_DEEPEST = 3


def candidates(schema: CollectionSchema, rows: Sequence[Chunk]) -> list[Recipe]:
    """What these rows suggest, the likelier first; texts that are equal in each row are one."""
    names = _names_of_texts(schema, rows)
    texts = [name for name in names if says(SAY_TEXT, name)]
    fields = [FieldRecipe(field=name) for name in [*texts, *(n for n in names if n not in texts)]]
    titles = [name for name in names if says(SAY_TITLE, name)]
    found: list[Recipe] = [*fields, *_of_frameworks(rows, texts)]
    found += (
        TemplateRecipe(template=f"{{{title}}}{between}{{{text}}}")
        for title in titles
        for text in texts
        if title != text
        for between in BETWEEN
    )
    return _distinct(rows, found)[:MOST_CANDIDATES]


def _names_of_texts(schema: CollectionSchema, rows: Sequence[Chunk]) -> list[str]:
    """Of whatever holds text in at least half of the rows, wherever it stands."""
    seen = Counter(name for row in rows for name in _names_in(row.fields))
    return [n for n, times in seen.items() if 2 * times >= len(rows) and n != schema.key_field]


def _names_in(fields: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, str) and value.strip():
            yield f"{before}{name}"
        elif isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _names_in(value, f"{before}{name}.", depth + 1)


def _of_frameworks(rows: Sequence[Chunk], texts: Sequence[str]) -> Iterator[Recipe]:
    if any("_node_content" in row.fields for row in rows):
        yield from (LlamaIndexRecipe(framework="llama-index", field=text) for text in texts)
    objects = {n for row in rows for n, value in row.fields.items() if isinstance(value, Mapping)}
    for text in texts:
        if "." not in text:
            for name in sorted(objects):
                yield SpringAiRecipe(framework="spring-ai", field=text, metadata=name)


def _distinct(rows: Sequence[Chunk], found: Sequence[Recipe]) -> list[Recipe]:
    """All fields; of the others only what makes other texts than those before it."""
    distinct: list[Recipe] = []
    made: set[tuple[str, ...]] = set()
    for recipe in found:
        texts = tuple(recipe.text_of(row.fields) for row in rows)
        if any(texts) and (isinstance(recipe, FieldRecipe) or texts not in made):
            distinct.append(recipe)
            made.add(texts)
    return distinct


def says(names: frozenset[str], name: str) -> bool:
    return name.rpartition(".")[2].lower().replace("_", "") in names
