"""OpenAI's embeddings and models, as its clients send and expect them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import orjson
import pybase64
from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema, field_validator

from api.schemas.parts import Dimension, RequestBody, RequestPart, ResponseBody
from migrations.model.bots import Bot
from migrations.model.chunks import Vectors
from migrations.ports.vocabulary import Vocabulary
from migrations.readers.by_alias import Kind

#: As at OpenAI.
MOST_INPUTS = 2048

_IDS = {"type": "array", "items": {"type": "integer"}}
_INPUT: dict[str, Any] = {
    "oneOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "maxItems": MOST_INPUTS},
        _IDS,
        {"type": "array", "items": _IDS, "maxItems": MOST_INPUTS},
    ]
}
#: What may be said of a text, here and at other providers.
_KINDS = {
    "query": Kind.QUERY,
    "search_query": Kind.QUERY,
    "passage": Kind.PASSAGE,
    "document": Kind.PASSAGE,
    "search_document": Kind.PASSAGE,
}
_InputType = Literal["query", "search_query", "passage", "document", "search_document"]
_ModelName = Annotated[str, StringConstraints(max_length=300)]


class EmbeddingsRequest(RequestBody):
    """Texts to be embedded with what a bot's alias stands for. Other members are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    model: _ModelName = Field(
        description="A bot's alias: its texts are questions; `docs:passage` for what is to be "
        "stored, `docs:query` is the same as `docs`.",
        examples=["support_docs_live"],
    )
    input: Annotated[Any, WithJsonSchema(_INPUT)] = Field(
        description="A text, texts, or either as ids of the vocabulary cl100k_base, which is what "
        f"LangChain sends. At most {MOST_INPUTS} texts, none of them empty.",
        examples=["How do I get an invoice?"],
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float",
        description="base64 is of little-endian float32, and a quarter of the size.",
        examples=["float"],
    )
    dimensions: Dimension | None = Field(
        default=None,
        description="Refused unless it is the dimension of the model that is live.",
        examples=[None],
    )
    input_type: _InputType | None = Field(
        default=None,
        description="What the texts are, for clients that say it here and not by the model's name.",
        examples=["query"],
    )
    user: str | None = Field(default=None, description="Not looked at.", examples=[None])

    @field_validator("input")
    @classmethod
    def _is_input(cls, sent: object) -> object:
        texts = sent if isinstance(sent, list) and not _is_ids(sent) else [sent]
        if not texts:
            raise ValueError("Must not be empty")
        if len(texts) > MOST_INPUTS:
            raise ValueError(f"Must have at most {MOST_INPUTS} texts; send them in parts")
        for text in texts:
            if not isinstance(text, str) and not _is_ids(text):
                raise ValueError("Must be a string, strings, or token ids of one or more texts")
            if not text:
                raise ValueError("Must not hold an empty text")
        return sent

    @property
    def alias(self) -> str:
        return self.model.partition(":")[0]

    @property
    def kind(self) -> Kind | None:
        """What the texts are; None where model and input_type contradict each other."""
        named = self.model.partition(":")[2]
        if named and named not in _KINDS:
            return None
        said = {_KINDS[name] for name in (named, self.input_type) if name}
        return (said or {Kind.QUERY}).pop() if len(said) < 2 else None

    def texts(self, vocabulary: Vocabulary) -> list[str]:
        """Raises TokensUnknown."""
        sent = [self.input] if isinstance(self.input, str) or _is_ids(self.input) else self.input
        return [text if isinstance(text, str) else vocabulary.text_of(text) for text in sent]


def _is_ids(sent: object) -> bool:
    """Whether it is one text, as ids."""
    return isinstance(sent, list) and bool(sent) and all(type(one) is int for one in sent)


class EmbeddingItemOfOpenAI(ResponseBody):
    """The vector of one text."""

    object: Literal["embedding"] = Field(description="Always this.", examples=["embedding"])
    index: int = Field(description="Of the text among those that were sent.", examples=[0])
    embedding: list[float] | str = Field(
        description="The vector, as asked for.", examples=[[0.25, -0.5]]
    )


class UsageOfOpenAI(ResponseBody):
    """The tokens of an answer."""

    prompt_tokens: int = Field(description="As the provider bills them.", examples=[8])
    total_tokens: int = Field(description="The same.", examples=[8])


class EmbeddingsResponse(ResponseBody):
    """One vector a text, in their order."""

    object: Literal["list"] = Field(description="Always this.", examples=["list"])
    data: list[EmbeddingItemOfOpenAI] = Field(description="The vectors.", examples=[[]])
    model: str = Field(description="As it was asked for.", examples=["support_docs_live"])
    usage: UsageOfOpenAI = Field(
        description="What it took.", examples=[{"prompt_tokens": 8, "total_tokens": 8}]
    )


def embeddings_body(model: str, vectors: Vectors, tokens: int, encoding: str) -> bytes:
    """An :class:`EmbeddingsResponse` as JSON, without making Python numbers of the vectors."""
    encoded: Iterable[Any] = vectors
    if encoding == "base64":
        encoded = (pybase64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors)
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": one}
                for index, one in enumerate(encoded)
            ],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


class ModelPath(RequestPart):
    """Which model."""

    place: ClassVar[str] = "path"

    model: _ModelName = Field(
        description="A bot's alias, with or without the kind of its texts.",
        json_schema_extra={"example": "support_docs_live"},
    )


class ModelOfOpenAI(ResponseBody):
    """A bot's alias, which stands for the model its collection is embedded with."""

    id: str = Field(description="To be named as `model`.", examples=["support_docs_live"])
    object: Literal["model"] = Field(description="Always this.", examples=["model"])
    created: int = Field(
        description="When the bot was registered, in Unix seconds.", examples=[1796000000]
    )
    owned_by: str = Field(description="The bot's owner.", examples=["acme"])

    @classmethod
    def all_of(cls, bot: Bot) -> list[ModelOfOpenAI]:
        """The alias alone, and as it is named for each kind of text."""
        names = [bot.alias, *(f"{bot.alias}:{kind}" for kind in Kind)]
        created = int(bot.created_at.timestamp())
        return [cls(id=n, object="model", created=created, owned_by=bot.owner) for n in names]


class ModelsResponse(ResponseBody):
    """The caller's bots, as models."""

    object: Literal["list"] = Field(description="Always this.", examples=["list"])
    data: list[ModelOfOpenAI] = Field(description="Each of them.", examples=[[]])


class OpenAIErrorItem(ResponseBody):
    """What is wrong, in OpenAI's words."""

    message: str = Field(description="In a sentence.", examples=["There is no such model."])
    type: str = Field(description="Its kind.", examples=["invalid_request_error"])
    param: str | None = Field(description="The member that is wrong.", examples=["model"])
    code: str | None = Field(description="Its name.", examples=["model_not_found"])


class OpenAIErrorResponse(ResponseBody):
    """A refusal as OpenAI's clients expect it."""

    error: OpenAIErrorItem = Field(
        description="What is wrong.",
        examples=[
            {
                "message": "There is no such model.",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }
        ],
    )
