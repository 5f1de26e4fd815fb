"""How a model wants texts: documents one way, queries another.

Many models are trained on two kinds of text. Which kind a text is, they are told by words
put round it (``passage: ``, ``query: ``) or by a parameter of the request (``input_type``).
A document that was embedded in the wrong role has a vector that is near the right one and
is found less often; nothing fails.

What is known here was gathered in November 2026 from copies of the models' cards, of the
providers' API references and from public code; the comments name what it goes back to. Where
it matters, look at your model's own card. Data and look-up only: what a bot's vectors were
made with is not decided by a name, see :mod:`migrations.bots.embedded_text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

#: Fields of a request that say what is asked; no role replaces them.
NOT_A_ROLES = frozenset({"input", "dimensions", "encoding_format"})
_LONGEST_PARAMETERS = 2000
#: What PostgreSQL's JSON cannot hold.
NO_NUL = "^[^\\x00]*$"


class TextRole(BaseModel):
    """What is done with a text so that a model takes it for a document, or for a query.

    ``prefix`` and ``suffix`` are put round the text as they stand, white space included.
    ``parameters`` go into the body of the request; ``model`` among them is the name to ask
    for instead of the embedding's own, where a provider has one name for each role.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str = Field(
        default="",
        max_length=2000,
        pattern=NO_NUL,
        description="Put before each text, as it stands: a space at its end counts.",
        examples=["passage: "],
    )
    suffix: str = Field(
        default="",
        max_length=2000,
        pattern=NO_NUL,
        description="Put after each text, as it stands.",
        examples=[""],
    )
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Further fields of the request, such as Voyage's input_type; `model` among "
        "them is asked for instead of the model, where a provider has one name for each role.",
        examples=[{"input_type": "document"}],
    )

    @field_validator("parameters")
    @classmethod
    def _replace_nothing(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if wrong := NOT_A_ROLES & parameters.keys():
            raise ValueError(f"{min(wrong)} says what is asked and is no parameter of a role")
        try:
            written = orjson.dumps(parameters)
        except orjson.JSONEncodeError as error:
            raise ValueError("the parameters are no JSON that a provider could read") from error
        if len(written) > _LONGEST_PARAMETERS:
            raise ValueError(f"the parameters have more than {_LONGEST_PARAMETERS} characters")
        if b"\\u0000" in written:
            raise ValueError("the parameters hold a NUL")
        return parameters

    @property
    def is_plain(self) -> bool:
        """Whether the text is sent as it is, and nothing with it."""
        return self == PLAIN

    def around(self, text: str) -> str:
        """What is sent for a text."""
        return f"{self.prefix}{text}{self.suffix}"

    def around_all(self, texts: Sequence[str]) -> Sequence[str]:
        """The same of each; the very texts where nothing is put round them."""
        return [self.around(text) for text in texts] if self.words else texts

    @property
    def words(self) -> str:
        """What is sent beside the text."""
        return self.prefix + self.suffix

    @property
    def canonical(self) -> dict[str, Any]:
        """What is not as in a plain role: equal for roles that are."""
        return self.model_dump(exclude_defaults=True)

    def __hash__(self) -> int:
        return hash(orjson.dumps(self.canonical, option=orjson.OPT_SORT_KEYS))

    def __str__(self) -> str:
        round_it = repr(f"{self.prefix}…{self.suffix}") if self.words else ""
        told = [f"{name}={value}" for name, value in sorted(self.parameters.items())]
        return " and ".join([round_it, *told] if round_it else told) or "plain"


PLAIN = TextRole()


class Roles(NamedTuple):
    """How one model takes documents, and how it takes queries."""

    documents: TextRole = PLAIN
    queries: TextRole = PLAIN

    def __str__(self) -> str:
        return f"documents {self.documents}, queries {self.queries}"


@dataclass(frozen=True)
class Family:
    """Models that are told the roles of texts in the same way."""

    name: str
    #: Of the model's name, in lower case, wherever it stands: gateways put things before and after.
    pattern: re.Pattern[str]
    roles: Roles
    #: Whether a migration to such a model takes these roles if nobody says otherwise.
    is_assumed: bool = True


def _text(documents: str, queries: str) -> Roles:
    return Roles(TextRole(prefix=documents), TextRole(prefix=queries))


def _parameter(name: str, documents: str, queries: str) -> Roles:
    return Roles(TextRole(parameters={name: documents}), TextRole(parameters={name: queries}))


_SEARCHING = "Represent this sentence for searching relevant passages: "
_WEB_SEARCH = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)
_GEMMA = _text("title: none | text: ", "task: search result | query: ")


def _family(name: str, pattern: str, roles: Roles, *, is_assumed: bool = True) -> Family:
    return Family(name, re.compile(pattern), roles, is_assumed)


#: The first that matches counts, so that the narrower stand before the wider.
FAMILIES: tuple[Family, ...] = (
    # NVIDIA's NIM: API reference of NeMo Retriever Embedding. What has the role in its name
    # is looked after in known_roles.
    _family(
        "NIM",
        r"nv-embedqa|nv-embedcode|nemoretriever|nemotron-embed",
        _parameter("input_type", "passage", "query"),
    ),
    # Nomic: the cards of nomic-embed-text-v1, -v1.5, -v2-moe and of nomic-embed-code.
    _family(
        "Nomic code",
        r"nomic-embed-code",
        _text("", "Represent this query for searching relevant code: "),
    ),
    _family("Nomic", r"nomic-embed", _text("search_document: ", "search_query: ")),
    # E5: the cards of intfloat/e5-*, multilingual-e5-* and of the two with instructions.
    _family("E5 instruct", r"e5-(?:mistral|.*instruct)", _text("", f"{_WEB_SEARCH} ")),
    _family("E5", r"\be5-(?:small|base|large)", _text("passage: ", "query: ")),
    # BGE: FlagEmbedding's table of query instructions. bge-m3 has none.
    _family("BGE M3", r"bge-m3", Roles()),
    _family(
        "BGE Chinese",
        r"bge-(?:small|base|large)-zh",
        _text("", "为这个句子生成表示以用于检索相关文章\uff1a"),
    ),
    _family("BGE", r"bge-(?:small|base|large)", _text("", _SEARCHING)),
    # GTE: the cards of Alibaba-NLP/gte-*. Those built as encoders take everything plain.
    _family("GTE Qwen", r"gte-qwen", _text("", f"{_WEB_SEARCH} ")),
    _family("GTE", r"\bgte-(?:small|base|large|multilingual|modernbert)", Roles()),
    # Arctic: the cards of Snowflake/snowflake-arctic-embed-*. Ollama calls the second version 2.
    _family("Arctic 2", r"arctic-embed(?:2|.*v2)", _text("", "query: ")),
    _family("Arctic", r"arctic-embed", _text("", _SEARCHING)),
    # Mixedbread: the card of mxbai-embed-large-v1.
    _family("Mixedbread", r"mxbai-embed-(?:2d-)?large", _text("", _SEARCHING)),
    # Jina: the API's task. Before version 3 there were no tasks.
    _family("Jina 2", r"jina-embeddings-v2", Roles()),
    _family(
        "Jina",
        r"jina-embeddings-v[3-9]",
        _parameter("task", "retrieval.passage", "retrieval.query"),
    ),
    # Qwen3: the card's prompt, which has no space after its colon.
    _family("Qwen3-Embedding", r"qwen3-embedding", _text("", _WEB_SEARCH)),
    # EmbeddingGemma's card, and Google's page on embeddings, which has the same words for the
    # second Gemini. The first has a task_type, which Google's own endpoint for OpenAI's
    # protocol does not document; some gateways take it.
    _family("EmbeddingGemma", r"embedding-?gemma", _GEMMA),
    _family("Gemini 2", r"gemini-embedding-2", _GEMMA),
    _family(
        "Gemini",
        r"gemini-embedding-(?:001|exp)|\b(?<!-)(?:text-)?embedding-00[1-5]"
        r"|text-multilingual-embedding-002",
        _parameter("task_type", "RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"),
        is_assumed=False,
    ),
    # Voyage: API reference of text embeddings. The others have endpoints of their own, and
    # the open nano is told in its text.
    _family(
        "Voyage",
        r"\bvoyage-(?!multimodal|context|.*nano)",
        _parameter("input_type", "document", "query"),
    ),
    # Cohere: API reference of embed, from version 3 on.
    _family(
        "Cohere",
        r"(?<![\w-])embed-(?:(?:english|multilingual)-(?:light-)?v[3-9]|v[4-9])",
        _parameter("input_type", "search_document", "search_query"),
    ),
    # OpenAI's have no roles, whoever serves them.
    _family("OpenAI", r"text-embedding-(?:3-(?:small|large)|ada-002)", Roles()),
)

#: NIM's names that hold the role, for clients that can send nothing beside them.
_NAMED_ROLE = re.compile(
    r"(?P<name>.*(?:nv-embed|nemoretriever|nemotron).*)-(?P<role>passage|query)"
)


def family_of(model: str) -> Family | None:
    """The family that a model's name says it is of; None for a name that says nothing."""
    name = model.lower()
    return next((family for family in FAMILIES if family.pattern.search(name)), None)


def known_roles(model: str) -> Roles | None:
    """How the model's family takes documents and queries; None when it is not known."""
    named = _NAMED_ROLE.fullmatch(model)
    if named is not None:
        passages, queries = (f"{named['name']}-{role}" for role in ("passage", "query"))
        return Roles(*(_by_name(name, model) for name in (passages, queries)))
    family = family_of(model)
    return family.roles if family else None


def _by_name(name: str, model: str) -> TextRole:
    return PLAIN if name == model else TextRole(parameters={"model": name})


def assumed_roles(model: str) -> Roles:
    """Those of a migration's target if nobody says otherwise: the known ones, else plain."""
    family = family_of(model)
    if family is not None and not family.is_assumed:
        return Roles()
    return known_roles(model) or Roles()


def known_document_prefixes() -> tuple[str, ...]:
    """What the known families put before a document, each once; none of them is empty."""
    return _each_once(family.roles.documents.prefix for family in FAMILIES)


def known_query_prefixes() -> tuple[str, ...]:
    """The same of queries: some collections were embedded as if they held questions."""
    return _each_once(family.roles.queries.prefix for family in FAMILIES)


def queries_beside(documents: TextRole) -> TextRole:
    """How queries are taken by the families that take documents like this; plain if it differs."""
    queries = {f.roles.queries for f in FAMILIES if f.roles.documents == documents}
    return queries.pop() if len(queries) == 1 else PLAIN


def _each_once(prefixes: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(prefix for prefix in prefixes if prefix))
