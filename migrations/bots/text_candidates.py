"""Which ways of making a text a collection's rows suggest: tried by their vectors, never guessed.

First every field that holds text, wherever it stands; then what frameworks and people put
round those that come nearest; then what may have been done with the text before it was
embedded. Names only order what is tried.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrations.model.chunks import Chunk, CollectionSchema
from migrations.model.roles import known_document_prefixes, known_query_prefixes
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
#: What stands between a title and its text, and between lines of metadata and theirs.
BETWEEN = ("\n", "\n\n", " ", ": ")
_AFTER_LINES = ("\n\n", "\n")
#: Where applications cut texts, in characters and in tokens. Also at what the model takes.
CUT_CHARACTERS = (256, 500, 512, 1000, 1024, 2000, 2048, 4000, 4096, 8000, 8192)
CUT_TOKENS = (128, 256, 512, 8191)
#: Of the fields, and of what is put round them.
MOST_CANDIDATES = 60
#: What models want before a document, or before a query, and some have put before documents.
PREFIXES = (
    *known_document_prefixes(),
    *known_query_prefixes(),
    *("document: ", "Document: "),
)
#: JSON within JSON is looked into so deep.
_DEEPEST = 3
#: Names that can stand in a template's braces.
_SAYABLE = re.compile(r"[^{}\[\]!:]+")


def fields_of_text(schema: CollectionSchema, rows: Sequence[Chunk]) -> Sequence[Recipe]:
    """Whatever holds text in at least half of the rows, those whose names say text first."""
    names = [name for name in _names(schema, rows) if _holds_text(rows, name)]
    texts = [name for name in names if says(SAY_TEXT, name)]
    ordered = [*texts, *(name for name in names if name not in texts)]
    return [FieldRecipe(field=name) for name in ordered][:MOST_CANDIDATES]


def put_round(
    schema: CollectionSchema, rows: Sequence[Chunk], fields: Sequence[str]
) -> list[Recipe]:
    """What frameworks and people embed round these fields, the likelier first.

    Only what makes other texts than the fields alone, and than those before it.
    """
    names = [name for name in _names(schema, rows) if _SAYABLE.fullmatch(name)]
    sayable = [name for name in fields if _SAYABLE.fullmatch(name)]
    titles = [name for name in names if says(SAY_TITLE, name)]
    titles += [name for name in names if name not in titles and _holds_text(rows, name)]
    found: list[Recipe] = list(_of_frameworks(rows, fields))
    found += [lines for text in sayable for lines in _lines(names, text)]
    found += [
        TemplateRecipe(template=f"{{{title}}}{between}{{{text}}}")
        for title in titles
        for text in sayable
        if title != text
        for between in BETWEEN
    ]
    found += [
        TemplateRecipe(template=f"{_line(name)}{after}{{{text}}}")
        for name in names
        for text in sayable
        if name != text
        for after in _AFTER_LINES
    ]
    return _distinct(rows, found, fields)[:MOST_CANDIDATES]


def done_with(recipe: Recipe, longest: int, longest_tokens: int, takes: int | None) -> list[Recipe]:
    """What may have been done with its texts, the longest of which has so many characters.

    ``takes``: tokens that the model takes, if that is known.
    """
    tokens = sorted({*CUT_TOKENS, *([takes] if takes else [])})
    changes: list[dict[str, Any]] = [{"lower": True}]
    changes += [{"first_characters": many} for many in CUT_CHARACTERS if many < longest]
    changes += [
        {how: many}
        for many in tokens
        if many < longest_tokens
        for how in ("first_tokens", "split_tokens")
    ]
    return [recipe.model_copy(update=change) for change in changes]


def says(names: frozenset[str], name: str) -> bool:
    return name.rpartition(".")[2].lower().replace("_", "") in names


# --- names ------------------------------------------------------------------------


def _names(schema: CollectionSchema, rows: Sequence[Chunk]) -> list[str]:
    """Of whatever holds a text or a number in at least half of the rows, wherever it stands."""
    seen = Counter(name for row in rows for name in _names_in(row.fields))
    found = [n for n, times in seen.items() if 2 * times >= len(rows) and n != schema.key_field]
    columns = [field["name"] for field in schema.description["fields"]]
    places = {name: place for place, name in enumerate(columns)}
    return sorted(found, key=lambda name: places.get(name.partition(".")[0], len(places)))


def _names_in(fields: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            if depth < _DEEPEST:
                yield from _names_in(value, f"{before}{name}.", depth + 1)
        elif isinstance(value, int | float) or (isinstance(value, str) and value.strip()):
            yield f"{before}{name}"


def _holds_text(rows: Sequence[Chunk], name: str) -> bool:
    recipe = FieldRecipe(field=name)
    texts = [recipe.text_of(row.fields) for row in rows]
    return any(text.strip() and not _is_number(text) for text in texts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in {"True", "False"}
    return True


# --- what is put round a text -----------------------------------------------------


def _of_frameworks(rows: Sequence[Chunk], texts: Sequence[str]) -> Iterator[Recipe]:
    if any("_node_content" in row.fields for row in rows):
        yield from (LlamaIndexRecipe(framework="llama-index", field=text) for text in texts)
    objects = {n for row in rows for n, value in row.fields.items() if isinstance(value, Mapping)}
    for text in texts:
        if "." not in text:
            for name in sorted(objects):
                yield SpringAiRecipe(framework="spring-ai", field=text, metadata=name)


def _lines(names: Sequence[str], text: str) -> Iterator[Recipe]:
    """All metadata beside a text: in lines with their names, or the values alone."""
    beside = [n for n in names if n != text and not n.rpartition(".")[2].startswith("_")]
    if not beside:
        return
    for ordered in dict.fromkeys((tuple(beside), tuple(sorted(beside)))):
        for after in _AFTER_LINES:
            lines = "\n".join(_line(name) for name in ordered)
            yield TemplateRecipe(template=f"{lines}{after}{{{text}}}")
        values = "\n".join(f"{{{name}}}" for name in ordered)
        yield TemplateRecipe(template=f"{values}\n{{{text}}}")


def _line(name: str) -> str:
    return f"{name.rpartition('.')[2]}: {{{name}}}"


def _distinct(
    rows: Sequence[Chunk], found: Sequence[Recipe], fields: Sequence[str]
) -> list[Recipe]:
    distinct: list[Recipe] = []
    alone = (FieldRecipe(field=name) for name in fields)
    made = {tuple(recipe.text_of(row.fields) for row in rows) for recipe in alone}
    for recipe in found:
        texts = tuple(recipe.text_of(row.fields) for row in rows)
        if any(texts) and texts not in made:
            distinct.append(recipe)
            made.add(texts)
    return distinct
