"""What the schemas are made of: strict requests, read-only answers, shared types."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from migrations.model.config import EmbeddingRef

#: Each pattern in words, for the caller whose value does not match.
PATTERNS = {
    "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$": (
        "Must begin with a letter or digit and have at most 100 letters, digits, '_', '.' or '-'."
    ),
    "^[!-~]{1,255}$": "Must have 1 to 255 visible ASCII characters and no spaces.",
    "^[^\\x00-\\x1f\\x7f]{1,100}$": "Must have 1 to 100 characters, none a control character.",
    "^[^\\x00-\\x1f\\x7f]{1,500}$": "Must have 1 to 500 characters, none a control character.",
    "^[^\\x00]{1,8000}$": "Must have 1 to 8000 characters, none of them NUL.",
}
_SHORT, _VISIBLE, _NAME, _SENTENCE, _TEXT = PATTERNS

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


class ResponseBody(BaseModel):
    """An answer: every field is always there, null when there is nothing to say."""

    model_config = ConfigDict(frozen=True)


class EmbeddingItem(ResponseBody):
    """One embedding: who makes it, with which model, in how many dimensions."""

    provider: str = Field(description="Who makes it.", examples=["openai"])
    model: str = Field(description="With which model.", examples=["text-embedding-3-large"])
    dimension: int = Field(description="Numbers in each vector.", examples=[3072])

    @classmethod
    def of(cls, ref: EmbeddingRef) -> EmbeddingItem:
        return cls(provider=ref.provider, model=ref.model, dimension=ref.dimension)
