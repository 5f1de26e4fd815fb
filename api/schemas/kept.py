"""Collections that bots have left."""

from __future__ import annotations

from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import Field, model_validator

from api.schemas.migrations import HeldCollectionItem, held_facts
from api.schemas.parts import BotId, RequestBody, RequestPart, ResponseBody, VisibleText
from api.schemas.queries import Query
from migrations.model.left_behind import KeptCollection
from migrations.way_back.left_behind import KeptPage

MAX_KEPT_PAGE = 500
_TEN_YEARS_HOURS = 10 * 365 * 24
_EXAMPLE = "support_docs_live__g2_6f1f4a52"


class KeptPath(RequestPart):
    place: ClassVar[str] = "path"

    collection: VisibleText = Field(
        description="The collection's physical name.", json_schema_extra={"example": _EXAMPLE}
    )


class KeptPageQuery(Query):
    bot_id: BotId | None = Field(
        default=None,
        description="Of this bot alone.",
        json_schema_extra={"example": "support-bot"},
    )
    limit: int = Field(
        default=100,
        ge=1,
        le=MAX_KEPT_PAGE,
        description="How many to answer at the most.",
        json_schema_extra={"example": 100},
    )
    cursor: VisibleText | None = Field(
        default=None,
        description="The `next_cursor` of the answer before; left out, from the first on.",
        json_schema_extra={"example": _EXAMPLE},
    )


class KeepRequest(RequestBody):
    """For how long a collection is kept from now on."""

    hours: float | None = Field(
        default=None,
        gt=0,
        le=_TEN_YEARS_HOURS,
        description="So many hours from now.",
        examples=[168.0],
    )
    for_good: bool = Field(
        default=False, description="Until somebody has it dropped.", examples=[False]
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.hours is None) is not self.for_good:
            raise ValueError("say 'hours', or 'for_good': true")
        return self


class KeptCollectionItem(HeldCollectionItem):
    """A collection that a bot has left, and whose."""

    bot_id: str = Field(description="The bot that has left it.", examples=["support-bot"])
    migration_id: UUID = Field(
        description="The migration that has left it behind; its events say what became of it.",
        examples=["6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11"],
    )

    @classmethod
    def of(cls, held: KeptCollection) -> KeptCollectionItem:
        return cls(**_facts(held))


def _facts(held: KeptCollection) -> dict[str, Any]:
    return {**held_facts(held), "bot_id": held.bot_id, "migration_id": held.migration_id}


class KeptListResponse(ResponseBody):
    """Kept collections by name, or a page of them."""

    count: int = Field(description="How many are in this answer.", examples=[1])
    kept: list[KeptCollectionItem] = Field(description="Each of them.", examples=[[]])
    next_cursor: str | None = Field(
        description="Sent as `cursor` it gives those that follow; null when none do.",
        examples=[None],
    )

    @classmethod
    def of(cls, page: KeptPage) -> KeptListResponse:
        shown = [KeptCollectionItem.of(one) for one in page.kept]
        return cls(count=len(shown), kept=shown, next_cursor=page.next)


class KeptDropResponse(KeptCollectionItem):
    """A collection that is going to be dropped."""

    message: str = Field(
        description="What happens now, in a sentence.",
        examples=["A worker drops it in a moment, unless somebody reads or writes it."],
    )

    @classmethod
    def of(cls, held: KeptCollection) -> KeptDropResponse:
        is_read = held.is_compared and held.content_digest is None
        return cls(**_facts(held), message=_READ_FIRST if is_read else _DROPPED)


_DROPPED = (
    "A worker drops it in a moment, unless somebody reads it by an alias or has written to it: "
    "then it stays, and the migration that left it behind has a warning."
)
_READ_FIRST = (
    "What it holds has not been read yet, so nobody could tell whether somebody writes to it. A "
    "worker reads it in a moment and keeps it for a while; ask again then."
)
