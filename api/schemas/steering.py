"""What is asked of a run that is on its way, and what is shown of that."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas.parts import ResponseBody, Sentence
from api.schemas.requests import OptionalBody
from migrations.lifecycle.pausing import PAUSED
from migrations.model.states import Status


class PauseRequest(OptionalBody):
    """That a run shall stop where it stands, until it is resumed."""

    reason: Sentence | None = Field(
        default=None,
        description="Why; kept with the migration and shown to whoever looks at it.",
        examples=["The day's questions need the provider's limit."],
    )


class PausedItem(ResponseBody):
    """Who has paused a run, and what is left of its time."""

    by: str = Field(description="Whose token has paused it.", examples=["acme"])
    since: datetime = Field(description="When.", examples=["2026-11-03T09:20:00Z"])
    reason: str | None = Field(
        description="Why, in their words; null where none was given.",
        examples=["The day's questions need the provider's limit."],
    )
    seconds_left: float = Field(
        description="How long it may still take until its switch, counted from when it is resumed.",
        examples=[2412.0],
    )

    @classmethod
    def of(cls, status: Status, controls: dict[str, Any]) -> PausedItem | None:
        """None unless it is paused now."""
        if status is not Status.PAUSED:
            return None
        paused = controls[PAUSED]
        return cls(
            by=paused["by"],
            since=datetime.fromisoformat(paused["at"]),
            reason=paused["reason"],
            seconds_left=paused["seconds_left"],
        )
