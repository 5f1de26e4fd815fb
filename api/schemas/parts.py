"""What the schemas are made of: strict requests, read-only answers, shared types."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from migrations.model.config import EmbeddingRef
from migrations.model.roles import NO_NUL, TextRole

#: Each pattern in words, for the caller whose value does not match.
PATTERNS = {
    "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$": (
        "Must begin with a letter or digit and have at most 100 letters, digits, '_', '.' or '-'."
    ),
    "^[!-~]{1,255}$": "Must have 1 to 255 visible ASCII characters and no spaces.",
    "^[^\\x00-\\x1f\\x7f]{1,100}$": "Must have 1 to 100 characters, none a control character.",
    "^[^\\x00-\\x1f\\x7f]{1,500}$": "Must have 1 to 500 characters, none a control character.",
    "^[^\\x00]{1,8000}$": "Must have 1 to 8000 characters, none of them NUL.",
    NO_NUL: "Must not hold a NUL.",
}
_SHORT, _VISIBLE, _NAME, _SENTENCE, _TEXT, _ = PATTERNS

#: Also keeps NUL out of what PostgreSQL and Milvus are given.
VisibleText = Annotated[str, StringConstraints(pattern=_VISIBLE)]
#: Of an owner or a token; what is printable is judged by the use case, for commands too.
PersonName = Annotated[str, StringConstraints(pattern=_NAME)]
#: A reason, in somebody's words.
Sentence = Annotated[str, StringConstraints(pattern=_SENTENCE)]
#: What somebody asks: lines and tabs may be in it.
QuestionText = Annotated[str, StringConstraints(pattern=_TEXT)]
BotId = Annotated[str, StringConstraints(pattern=_SHORT)]
Dimension = Annotated[int, Field(gt=0, le=32_768)]


class RequestPart(BaseModel):
    """A path, a header or a body; ``place`` says which."""

    place: ClassVar[str] = "body"


class RequestBody(RequestPart):
    """A body: a misspelt field is an error, and "50" is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def sent(self, *, without: Collection[str] = ()) -> dict[str, Any]:
        """Its fields as they are, not as JSON."""
        return {name: value for name, value in self if name not in without}


class ResponseBody(BaseModel):
    """An answer: every field is always there, null when there is nothing to say."""

    model_config = ConfigDict(frozen=True)


class EmbeddingItem(ResponseBody):
    """One embedding: who makes it, with which model, in how many dimensions, and how."""

    provider: str = Field(description="Who makes it.", examples=["openai"])
    model: str = Field(description="With which model.", examples=["text-embedding-3-large"])
    dimension: int = Field(description="Numbers in each vector.", examples=[3072])
    document_role: TextRole = Field(
        description="How it wants documents: what is put round a text and sent with it; empty "
        "where a text is sent as it is.",
        examples=[{"prefix": "", "suffix": "", "parameters": {}}],
    )
    query_role: TextRole = Field(
        description="How it wants questions.",
        examples=[{"prefix": "", "suffix": "", "parameters": {}}],
    )
    version: str | None = Field(
        description="What the caller calls this version of the model; null where nothing was said.",
        examples=[None],
    )
    normalized: bool = Field(
        description="Whether each vector is brought to length 1 after the model has answered.",
        examples=[False],
    )
    fingerprint: str = Field(
        description="Of all this: two embeddings are the same only if their fingerprints are.",
        examples=["016674205ece4a7b"],
    )

    @classmethod
    def of(cls, ref: EmbeddingRef) -> EmbeddingItem:
        return cls(**dict(ref), fingerprint=ref.fingerprint)


def embedding_example(model: str, dimension: int) -> dict[str, Any]:
    ref = EmbeddingRef(provider="openai", model=model, dimension=dimension)
    return EmbeddingItem.of(ref).model_dump(mode="json")


CURRENT_EXAMPLE = embedding_example("text-embedding-3-small", 1536)
TARGET_EXAMPLE = embedding_example("text-embedding-3-large", 3072)
