"""Migrations now and past."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from api.schemas.links import migration_links
from api.schemas.parts import (
    CURRENT_EXAMPLE,
    TARGET_EXAMPLE,
    BotId,
    EmbeddingItem,
    PersonName,
    ResponseBody,
    VisibleText,
)
from api.schemas.progress import ErrorItem
from api.schemas.queries import Query
from migrations.model.history import Order, Place, RunPage, RunSearch, RunSummary
from migrations.model.states import Kind, Phase, Status

MAX_RUNS_PAGE, USUAL_RUNS_PAGE = 500, 50


def _moment(sent: Any) -> Any:
    """As ISO 8601 has it; pydantic would take a number as well."""
    try:
        moment = datetime.fromisoformat(sent)
    except (TypeError, ValueError) as error:
        raise ValueError("must be a time such as 2026-11-03T09:00:00Z") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, BeforeValidator(_moment)]


class MigrationListQuery(Query):
    bot_id: BotId | None = Field(
        default=None,
        description="Of this bot alone.",
        json_schema_extra={"example": "support-bot"},
    )
    status: list[Status] = Field(
        default=[],
        description="In this status; sent several times, in any of them.",
        json_schema_extra={"example": ["completed", "rolled_back"]},
    )
    kind: Kind | None = Field(
        default=None,
        description="Forward or back.",
        json_schema_extra={"example": "forward"},
    )
    phase: Phase | None = Field(
        default=None,
        description="In this phase, or ended in it.",
        json_schema_extra={"example": "verification"},
    )
    since: Moment | None = Field(
        default=None,
        description="Asked for at this time or later; UTC unless it says otherwise.",
        json_schema_extra={"example": "2026-11-01T00:00:00Z"},
    )
    until: Moment | None = Field(
        default=None,
        description="Asked for before this time.",
        json_schema_extra={"example": "2026-12-01T00:00:00Z"},
    )
    live: bool = Field(
        default=False,
        description="Those alone that are not over.",
        json_schema_extra={"example": True},
    )
    owner: PersonName | None = Field(
        default=None,
        description="Of this owner's bots alone, for an admin; others see their own anyway.",
        json_schema_extra={"example": "acme"},
    )
    order: Literal["newest", "oldest"] = Field(
        default="newest",
        description="By when they were asked for.",
        json_schema_extra={"example": "newest"},
    )
    limit: int = Field(
        default=USUAL_RUNS_PAGE,
        ge=1,
        le=MAX_RUNS_PAGE,
        description="How many to answer at the most.",
        json_schema_extra={"example": 20},
    )
    cursor: VisibleText | None = Field(
        default=None,
        description="The `next_cursor` of the answer before, with the same filters and order; left "
        "out, from the first on. What is started or ends meanwhile moves no page.",
        json_schema_extra={
            "example": Place(
                datetime(2026, 11, 3, 9, tzinfo=UTC), UUID("6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11")
            ).cursor
        },
    )

    def search(self) -> RunSearch:
        """Raises CursorInvalid."""
        return RunSearch(
            owner=self.owner,
            bot_id=self.bot_id,
            statuses=frozenset(self.status),
            kind=self.kind,
            phase=self.phase,
            since=self.since,
            until=self.until,
            live=self.live,
            order=Order(self.order),
            after=Place.at(self.cursor) if self.cursor is not None else None,
            limit=self.limit,
        )


class MigrationSummaryItem(ResponseBody):
    """One migration as a list shows it."""

    migration_id: UUID = Field(
        description="Its id.", examples=["6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11"]
    )
    bot_id: str = Field(description="Its bot.", examples=["support-bot"])
    owner: str = Field(description="Whose.", examples=["acme"])
    requested_by: str = Field(description="Who asked for it.", examples=["acme"])
    kind: Kind = Field(description="Forward, or back again (reverse).", examples=["forward"])
    reverses: UUID | None = Field(
        description="The migration a reverse run takes back; else null.", examples=[None]
    )
    status: Status = Field(description="Where it stands as a whole.", examples=["completed"])
    phase: Phase = Field(description="The step it is in, or ended in.", examples=["cleanup"])
    source: EmbeddingItem = Field(
        description="What the bot comes from.", examples=[CURRENT_EXAMPLE]
    )
    target: EmbeddingItem = Field(description="What it goes to.", examples=[TARGET_EXAMPLE])
    generation: int | None = Field(
        description="The bot's generation by its switch; null before it.", examples=[2]
    )
    total_chunks: int = Field(
        description="Chunks to move, as last noted; 0 before they are counted.", examples=[20000]
    )
    processed_chunks: int = Field(
        description="Chunks moved, as last noted: a live one's progress may be further.",
        examples=[20000],
    )
    waiting_for: str | None = Field(
        description="Why nothing moves right now; null when it does.", examples=[None]
    )
    error: ErrorItem | None = Field(
        description="What ended it or holds it up; null where nothing does.", examples=[None]
    )
    created_at: datetime = Field(
        description="When it was asked for.", examples=["2026-11-03T09:00:00Z"]
    )
    started_at: datetime | None = Field(
        description="When a worker began; null before that.", examples=["2026-11-03T09:00:01Z"]
    )
    switched_at: datetime | None = Field(
        description="When the bot was switched; null when it was not.",
        examples=["2026-11-03T09:20:00Z"],
    )
    finished_at: datetime | None = Field(
        description="When it ended; null before that.", examples=["2026-11-03T09:20:05Z"]
    )
    links: dict[str, str] = Field(
        description="Where to go from here; `cancel` and `rollback` only while they may succeed.",
        examples=[{"self": "/embeddings/migration/6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11/progress"}],
    )

    @classmethod
    def of(cls, run: RunSummary) -> MigrationSummaryItem:
        return cls(
            migration_id=run.id,
            bot_id=run.bot_id,
            owner=run.owner,
            requested_by=run.requested_by,
            kind=run.kind,
            reverses=run.reverses,
            status=run.status,
            phase=run.phase,
            source=EmbeddingItem.of(run.source),
            target=EmbeddingItem.of(run.target),
            generation=run.new_generation,
            total_chunks=run.total_chunks,
            processed_chunks=run.processed_chunks,
            waiting_for=run.waiting_for,
            error=ErrorItem.of(run.error) if run.error else None,
            created_at=run.created_at,
            started_at=run.started_at,
            switched_at=run.switched_at,
            finished_at=run.finished_at,
            links=migration_links(run.id, run.bot_id, run.status),
        )


class MigrationListResponse(ResponseBody):
    """Migrations now and past, or a page of them."""

    count: int = Field(description="How many are in this answer.", examples=[1])
    migrations: list[MigrationSummaryItem] = Field(description="Each of them.", examples=[[]])
    next_cursor: str | None = Field(
        description="Sent as `cursor` it gives those that follow; null when none do.",
        examples=[None],
    )

    @classmethod
    def of(cls, page: RunPage) -> MigrationListResponse:
        return cls(
            count=len(page.runs),
            migrations=[MigrationSummaryItem.of(run) for run in page.runs],
            next_cursor=page.next.cursor if page.next else None,
        )
