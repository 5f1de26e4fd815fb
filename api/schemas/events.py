"""What has happened in a migration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from api.schemas.parts import RequestPart, ResponseBody
from api.schemas.queries import Query
from migrations.lifecycle.history import sentence
from migrations.model.runs import Event
from migrations.model.states import Phase

MAX_EVENTS_PAGE, USUAL_EVENTS_PAGE = 1000, 200
_LARGEST = 2**63 - 1


class EventPageQuery(Query):
    limit: int = Field(
        default=USUAL_EVENTS_PAGE,
        ge=1,
        le=MAX_EVENTS_PAGE,
        description="How many to answer at the most; of no account for a stream.",
        json_schema_extra={"example": 100},
    )
    after: int = Field(
        default=0,
        ge=0,
        le=_LARGEST,
        description="Number of the last event that is known; left out, from the first on.",
        json_schema_extra={"example": 4711},
    )


class LastEventHeader(RequestPart):
    place: ClassVar[str] = "header"

    last_event_id: int | None = Field(
        default=None,
        ge=0,
        le=_LARGEST,
        alias="Last-Event-ID",
        description="Of a stream that goes on: the last id that was received, as browsers send it; "
        "comes before `after`.",
        json_schema_extra={"example": 4711},
    )


class EventItem(ResponseBody):
    """One line of a migration's history."""

    event_id: int = Field(
        description="Its number; later ones of the migration are larger.", examples=[4711]
    )
    at: datetime = Field(description="When.", examples=["2026-11-03T09:00:04Z"])
    name: str = Field(
        description="A stable word; there may be more of them in a later version.",
        examples=["phase_begun"],
    )
    phase: Phase | None = Field(
        description="The phase it is about, or the migration was in.", examples=["validation"]
    )
    epoch: int = Field(
        description="How often the migration was driven anew or turned round, from 1.",
        examples=[1],
    )
    sentence: str = Field(description="What it means.", examples=["Began validation."])
    detail: dict[str, Any] = Field(description="What else is known of it.", examples=[{}])

    @classmethod
    def of(cls, event: Event) -> EventItem:
        return cls(
            event_id=event.id,
            at=event.at,
            name=event.name,
            phase=event.phase,
            epoch=event.epoch,
            sentence=sentence(event),
            detail=event.detail,
        )


class EventsResponse(ResponseBody):
    """What has happened in a migration, or a page of it, oldest first."""

    count: int = Field(description="How many are in this answer.", examples=[1])
    events: list[EventItem] = Field(description="Each of them.", examples=[[]])
    next_after: int | None = Field(
        description="Ask for more with this as `after`; null when that was all so far. Who polls "
        "asks with the last `event_id` again.",
        examples=[None],
    )

    @classmethod
    def of(cls, found: Sequence[Event], limit: int) -> EventsResponse:
        """``found`` may be one more than ``limit``, which tells that there are more."""
        shown = [EventItem.of(event) for event in found[:limit]]
        follows = shown[-1].event_id if len(found) > limit else None
        return cls(count=len(shown), events=shown, next_after=follows)
