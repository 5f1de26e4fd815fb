"""Late writes that were not taken over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from api.schemas.parts import RequestBody, ResponseBody, VisibleText
from api.schemas.queries import Query
from migrations.model.left_behind import ConflictPlace, ConflictReason, KeptConflict
from migrations.way_back.left_behind import ConflictPage

MAX_CONFLICTS_PAGE, USUAL_CONFLICTS_PAGE = 500, 50
MAX_KEYS = 1000
_RUN = UUID("6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11")
_Key = Annotated[str, Field(max_length=65_535)]


class ConflictPageQuery(Query):
    migration_id: UUID | None = Field(
        default=None,
        description="Of this migration alone.",
        json_schema_extra={"example": str(_RUN)},
    )
    limit: int = Field(
        default=USUAL_CONFLICTS_PAGE,
        ge=1,
        le=MAX_CONFLICTS_PAGE,
        description="How many to answer at the most.",
        json_schema_extra={"example": 50},
    )
    cursor: VisibleText | None = Field(
        default=None,
        description="The `next_cursor` of the answer before; left out, from the newest on.",
        json_schema_extra={
            "example": ConflictPlace(datetime(2026, 11, 3, tzinfo=UTC), _RUN, "0ea5").cursor
        },
    )

    @property
    def after(self) -> ConflictPlace | None:
        """Raises CursorInvalid."""
        return ConflictPlace.after(self.cursor) if self.cursor is not None else None


class ConflictItem(ResponseBody):
    """A write to an old collection that was not taken over, or a row that came back."""

    migration_id: UUID = Field(
        description="The migration after whose switch it came.", examples=[str(_RUN)]
    )
    key: str = Field(description="The chunk's key.", examples=["doc-17-3"])
    reason: ConflictReason = Field(
        description="The live chunk has changed since the switch, too (live_is_newer); the live "
        "model could not embed the text (not_embedded); what had been deleted or replaced stands "
        "in the live collection again (came_back).",
        examples=["live_is_newer"],
    )
    fields: dict[str, Any] | None = Field(
        description="What was written; null for a deletion.", examples=[{"text": "New terms."}]
    )
    at: datetime = Field(description="When it was found last.", examples=["2026-11-03T09:30:00Z"])

    @classmethod
    def of(cls, found: KeptConflict) -> ConflictItem:
        conflict, place = found.conflict, found.place
        return cls(
            migration_id=place.migration_id,
            key=conflict.key,
            reason=conflict.reason,
            fields=conflict.fields,
            at=place.at,
        )


class ConflictsResponse(ResponseBody):
    """Conflicts of a bot, or a page of them, the newest first."""

    count: int = Field(description="How many are in this answer.", examples=[1])
    conflicts: list[ConflictItem] = Field(description="Each of them.", examples=[[]])
    next_cursor: str | None = Field(
        description="Sent as `cursor` it gives those that follow; null when none do.",
        examples=[None],
    )

    @classmethod
    def of(cls, page: ConflictPage) -> ConflictsResponse:
        return cls(
            count=len(page.conflicts),
            conflicts=[ConflictItem.of(one) for one in page.conflicts],
            next_cursor=page.next.cursor if page.next else None,
        )


class SettleRequest(RequestBody):
    """Which conflicts somebody has judged."""

    keys: list[_Key] = Field(
        default=[],
        max_length=MAX_KEYS,
        description="Those of these keys, as they are listed.",
        examples=[["doc-17-3"]],
    )
    all: bool = Field(default=False, description="Whatever there is now.", examples=[False])

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.keys) is self.all:
            raise ValueError("say 'keys', or 'all': true")
        return self


class SettledResponse(ResponseBody):
    """How many conflicts are forgotten."""

    settled: int = Field(description="So many were there and are forgotten.", examples=[1])
