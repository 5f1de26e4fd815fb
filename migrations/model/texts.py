"""Which text of a chunk is embedded: the only place that knows.

A recipe is one of four: a field, a template over fields, the way of a framework, which embeds
more than the text it stores, or a table of the user's own where the collection holds no text.
A field is a column, a member of the dynamic field, or
a path into a JSON column: ``metadata.text`` is the member ``text`` of the column ``metadata``.
Each may be changed before it is embedded (``lower``, ``first_characters``), and may say how the
application has treated texts that are long for its model (``first_tokens``, ``split_tokens``).
"""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from string import Formatter
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    field_validator,
    model_validator,
)

from migrations.model.chunks import LOOKED_UP, LookedUp

Fields = Mapping[str, Any]
#: Variables whose name begins so may be named in a recipe. Any other may lead to a database that
#: is none of the caller's business, ours among them.
SQL_VARIABLES = "REEMBED_TEXTS_"
_FORMATTER = Formatter()


class Missing(StrEnum):
    """What a template makes of a row that lacks one of its fields."""

    #: Nothing stands in its place.
    EMPTY = "empty"
    #: The row has no text.
    NO_TEXT = "no_text"


def _is_none(value: Any) -> bool:
    return value is None


class _Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]

    lower: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="Whether it is embedded in lower case.",
        examples=[False],
    )
    first_characters: int | None = Field(
        default=None,
        gt=0,
        exclude_if=_is_none,
        description="How many characters of it are embedded; null for all.",
        examples=[None],
    )
    first_tokens: int | None = Field(
        default=None,
        gt=0,
        exclude_if=_is_none,
        description="After how many tokens the application has cut what it gave the present "
        "model; null for nowhere. A new model is given the whole text.",
        examples=[None],
    )
    split_tokens: int | None = Field(
        default=None,
        gt=0,
        exclude_if=_is_none,
        description="Into pieces of how many tokens the application has split it for the present "
        "model, to embed them and take the mean, as LangChain does for OpenAI at 8191. A new "
        "model is given the whole text.",
        examples=[None],
    )

    @model_validator(mode="after")
    def _ends_one_way(self) -> Self:
        ends = (self.first_characters, self.first_tokens, self.split_tokens)
        if sum(end is not None for end in ends) > 1:
            raise ValueError("of first_characters, first_tokens and split_tokens it may say one")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the text is embedded as it is made, in one piece."""
        return not any((self.lower, self.first_characters, self.first_tokens, self.split_tokens))

    def plain(self) -> Self:
        """The recipe without what is done with its text."""
        return self.model_copy(
            update=dict.fromkeys(("first_characters", "first_tokens", "split_tokens"))
            | {"lower": False}
        )

    def __str__(self) -> str:
        done = [
            "in lower case" if self.lower else "",
            f"its first {self.first_characters} characters" if self.first_characters else "",
            f"its first {self.first_tokens} tokens" if self.first_tokens else "",
            f"in pieces of {self.split_tokens} tokens" if self.split_tokens else "",
        ]
        return ", ".join([self._made_of(), *filter(None, done)])

    @property
    def fields(self) -> list[str]:
        """Names of what the text is made of, as Milvus knows them."""
        return list(dict.fromkeys(name.partition(".")[0] for name in self._names()))

    def text_of(self, fields: Fields) -> str:
        """The text of a chunk with these fields, "" where it has none."""
        text = self._text_of(fields)[: self.first_characters]
        return text.lower() if self.lower else text

    def is_same_text(self, fields: Fields, others: Fields) -> bool:
        """Whether two rows have the same text, perhaps none."""
        return self.text_of(fields) == self.text_of(others)

    def _made_of(self) -> str:
        raise NotImplementedError

    def _text_of(self, fields: Fields) -> str:
        raise NotImplementedError

    def _names(self) -> Iterator[str]:
        raise NotImplementedError


class FieldRecipe(_Recipe):
    """The text is what stands in one field."""

    kind = "field"
    field: str = Field(
        min_length=1,
        description="A column, a member of the dynamic field, or a path into JSON.",
        examples=["metadata.text"],
    )

    def _made_of(self) -> str:
        return f"the text field {self.field!r}"

    def _text_of(self, fields: Fields) -> str:
        return text_at(fields, self.field)

    def _names(self) -> Iterator[str]:
        yield self.field


class TemplateRecipe(_Recipe):
    """The text is put together from several fields: ``{title}\\n{text}``."""

    kind = "template"
    template: str = Field(
        min_length=1,
        description="Fields in braces, and what stands between them; {{ and }} are braces.",
        examples=["{title}\n{text}"],
    )
    missing: Missing = Field(
        default=Missing.EMPTY,
        description="Of a row that lacks one of the fields: 'empty' puts nothing in its place, "
        "'no_text' makes no text of it.",
        examples=["empty"],
    )

    @field_validator("template")
    @classmethod
    def _names_fields(cls, template: str) -> str:
        try:
            parts = list(_FORMATTER.parse(template))
        except ValueError as error:
            raise ValueError(f"it is no template ({error})") from error
        if any(spec or conversion for _, _, spec, conversion in parts):
            raise ValueError("it may hold names in braces only, such as {title}")
        if not any(name for _, name, _, _ in parts):
            raise ValueError("it names no field; one stands in braces, such as {title}")
        if any(name == "" for _, name, _, _ in parts):
            raise ValueError("it has braces without a name; write {{}} for braces themselves")
        return template

    def _made_of(self) -> str:
        return f"the template {self.template!r}"

    def _text_of(self, fields: Fields) -> str:
        text, found, missing = "", 0, 0
        for literal, name, _, _ in _FORMATTER.parse(self.template):
            text += literal
            if name:
                part = text_at(fields, name)
                text, found, missing = text + part, found + bool(part), missing + (not part)
        if not found or (missing and self.missing is Missing.NO_TEXT):
            return ""
        return text

    def _names(self) -> Iterator[str]:
        yield from (name for _, name, _, _ in _FORMATTER.parse(self.template) if name)


class LlamaIndexRecipe(_Recipe):
    """LlamaIndex embeds metadata lines and the text, as ``_node_content`` says of each row.

    Source: ``TextNode.get_content`` and ``get_metadata_str`` of llama-index-core with the mode
    EMBED; the template, the separator and the excluded keys are the node's own.
    """

    kind = "llama-index"
    framework: Literal["llama-index"] = Field(
        description="Metadata and text as the node says.", examples=["llama-index"]
    )
    field: str = Field(
        default="text", description="Where the node's own text stands.", examples=["text"]
    )

    def _made_of(self) -> str:
        return f"LlamaIndex' text of {self.field!r} and its metadata"

    def _text_of(self, fields: Fields) -> str:
        text, node = text_at(fields, self.field), _json_object(fields.get("_node_content"))
        if node is None:
            return ""  # whether it has metadata is not known, and half a text is none
        metadata = node.get("metadata") or {}
        excluded = set(node.get("excluded_embed_metadata_keys") or ())
        line = node.get("metadata_template") or "{key}: {value}"
        separator = node.get("metadata_separator", node.get("metadata_seperator", "\n"))
        lines = [
            _filled(line, key=str(key), value=str(value))
            for key, value in metadata.items()
            if key not in excluded
        ]
        said = str(separator).join(lines).strip()
        if not said:
            return text
        whole = node.get("text_template") or "{metadata_str}\n\n{content}"
        return _filled(whole, metadata_str=said, content=text).strip()

    def _names(self) -> Iterator[str]:
        yield from (self.field, "_node_content")


class SpringAiRecipe(_Recipe):
    """Spring AI embeds lines ``key: value`` of the metadata, an empty line, and the text.

    Source: ``DefaultContentFormatter`` of Spring AI with the mode EMBED; values are written
    as Java writes them.
    """

    kind = "spring-ai"
    framework: Literal["spring-ai"] = Field(
        description="Metadata in lines, an empty line, the text.", examples=["spring-ai"]
    )
    field: str = Field(
        default="content", description="Where the text stands.", examples=["content"]
    )
    metadata: str = Field(
        default="metadata", description="The column with the metadata.", examples=["metadata"]
    )

    def _made_of(self) -> str:
        return f"Spring AI's text of {self.field!r} and {self.metadata!r}"

    def _text_of(self, fields: Fields) -> str:
        text, metadata = text_at(fields, self.field), _json_object(fields.get(self.metadata))
        if not text:
            return ""
        lines = [f"{key}: {_as_java(value)}" for key, value in (metadata or {}).items()]
        return "\n".join(lines) + f"\n\n{text}"

    def _names(self) -> Iterator[str]:
        yield from (self.field, self.metadata)


class SqlRecipe(_Recipe):
    """The text stands in a table of the user's own, where a row is found by a key.

    It may change there without the row, see :mod:`migrations.copying.looked_up`.
    """

    kind = "sql"
    sql: str = Field(
        description="The name of the environment variable that says where the database is, in "
        "SQLAlchemy's form; it begins with REEMBED_TEXTS_ and is set for the API and the workers.",
        examples=["REEMBED_TEXTS_CACHE"],
    )
    table: str = Field(min_length=1, description="A table or a view.", examples=["questions"])
    table_schema: str | None = Field(
        default=None,
        min_length=1,
        exclude_if=_is_none,
        description="The schema it is in; null for the one that the connection finds by itself.",
        examples=[None],
    )
    key: str = Field(
        min_length=1,
        description="The column that a row is found by; no value may stand in it twice.",
        examples=["id"],
    )
    column: str = Field(
        min_length=1, description="The column with the text.", examples=["question"]
    )
    looked_up_by: str | None = Field(
        default=None,
        min_length=1,
        exclude_if=_is_none,
        description="The field of the collection that holds the key; null for its primary key.",
        examples=[None],
    )

    @field_validator("sql")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        if not re.fullmatch(SQL_VARIABLES + "[A-Z0-9_]+", name):
            raise ValueError(
                f"it is the name of an environment variable that begins with {SQL_VARIABLES} "
                "and goes on in capitals, digits and '_'; never a URL"
            )
        return name

    def key_of(self, key: Any, fields: Fields) -> Any:
        """By what a row with this primary key is found in the table; None where it has none."""
        return key if self.looked_up_by is None else value_at(fields, self.looked_up_by)

    def found(self, text: str) -> LookedUp:
        """What stands among the fields of a row whose text in the table is this, "" for none."""
        made = self.text_of({LOOKED_UP: LookedUp("", text)})
        digest = hashlib.blake2b(made.encode(errors="surrogatepass"), digest_size=16)
        return LookedUp(digest.hexdigest(), text)

    def is_same_text(self, fields: Fields, others: Fields) -> bool:
        return bool(fields.get(LOOKED_UP) == others.get(LOOKED_UP))

    def _made_of(self) -> str:
        return f"the column {self.column!r} of the table {self.table!r} by {self.sql}"

    def _text_of(self, fields: Fields) -> str:
        found = fields.get(LOOKED_UP)
        return found.text if isinstance(found, LookedUp) else ""

    def _names(self) -> Iterator[str]:
        yield LOOKED_UP
        if self.looked_up_by is not None:
            yield self.looked_up_by


def _kind(given: Any) -> str | None:
    """By which model it is read, so that what is wrong with it is said once."""
    if not isinstance(given, Mapping):
        return given.kind if isinstance(given, _Recipe) else None
    if "framework" in given:
        framework = given["framework"]
        return framework if isinstance(framework, str) else None
    return next((kind for kind in ("sql", "template", "field") if kind in given), None)


Recipe = Annotated[
    Annotated[FieldRecipe, Tag("field")]
    | Annotated[TemplateRecipe, Tag("template")]
    | Annotated[LlamaIndexRecipe, Tag("llama-index")]
    | Annotated[SpringAiRecipe, Tag("spring-ai")]
    | Annotated[SqlRecipe, Tag("sql")],
    Discriminator(
        _kind,
        custom_error_type="no_recipe",
        custom_error_message=(
            "it needs a 'field', a 'template', the 'framework' 'llama-index' or 'spring-ai', or a "
            "table, with 'sql'"
        ),
    ),
]
_RECIPES: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def recipe_of(given: Any) -> Recipe:
    """From JSON. Raises pydantic.ValidationError."""
    return _RECIPES.validate_python(given)


def value_at(fields: Fields, name: str) -> Any:
    """What stands under a name or a path; None where nothing does."""
    if name in fields:
        return fields[name]
    head, _, rest = name.partition(".")
    inner = fields.get(head) if rest else None
    return value_at(inner, rest) if isinstance(inner, Mapping) else None


def text_at(fields: Fields, name: str) -> str:
    """The same as text; objects and lists are none."""
    value = value_at(fields, name)
    return "" if value is None or isinstance(value, Mapping | list) else str(value)


def _filled(template: str, **values: str) -> str:
    """What stands in braces and is named, replaced; what the values hold stays as it is."""
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group()), str(template))


def _json_object(value: Any) -> Fields | None:
    """An object, also where it is stored as its text."""
    if isinstance(value, str | bytes):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, Mapping) else None


def _as_java(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
