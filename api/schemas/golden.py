"""Golden queries of a bot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from api.schemas.parts import QuestionText, RequestBody, ResponseBody, VisibleText
from migrations.model.golden import MOST_QUERIES, GoldenQuery, id_of

_KEYS = [["faq-17", "faq-18"]]
_Key = Annotated[str, Field(max_length=65_535)] | int


class GoldenQueryItem(RequestBody):
    """A question that verification asks both collections."""

    text: QuestionText = Field(
        description="What a user asks.", examples=["How do I get an invoice of last year?"]
    )
    relevant: Annotated[list[_Key], Field(max_length=1000)] = Field(
        default_factory=list,
        description="Primary keys of the chunks that answer it; left out, the results of both "
        "collections are compared.",
        examples=_KEYS,
    )
    id: VisibleText | None = Field(
        default=None,
        description="Its name in reports; left out, one is made of the text.",
        examples=["invoice-of-last-year"],
    )

    @property
    def name(self) -> str:
        return self.id or id_of(self.text)


class GoldenQueriesRequest(RequestBody):
    """All golden queries of the bot: they take the place of those before."""

    queries: Annotated[list[GoldenQueryItem], Field(max_length=MOST_QUERIES)] = Field(
        description=f"At most {MOST_QUERIES}.",
        examples=[[{"text": "How do I get an invoice?", "relevant": ["faq-17"]}]],
    )

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        twice = [name for name, n in Counter(q.name for q in self.queries).items() if n > 1]
        if twice:
            raise ValueError(f"ids, or texts without one, stand more than once: {twice[:5]}")
        return self

    def golden(self) -> list[GoldenQuery]:
        return [GoldenQuery(q.name, q.text, tuple(q.relevant)) for q in self.queries]


class GoldenQueriesResponse(ResponseBody):
    """The golden queries of a bot."""

    bot_id: str = Field(description="The bot.", examples=["support-bot"])
    count: int = Field(description="How many there are.", examples=[1])
    queries: list[GoldenQueryItem] = Field(
        description="In the order they were given in.",
        examples=[[{"id": "a", "text": "How do I get an invoice?", "relevant": ["faq-17"]}]],
    )

    @classmethod
    def of(cls, bot_id: str, queries: Sequence[GoldenQuery]) -> Self:
        items = [GoldenQueryItem(id=q.id, text=q.text, relevant=list(q.relevant)) for q in queries]
        return cls(bot_id=bot_id, count=len(items), queries=items)
