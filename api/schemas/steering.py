"""What is asked of a run that is on its way, and what is shown of that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from api.schemas.parts import RequestBody, RequestPart, ResponseBody, Sentence, VisibleText
from api.schemas.requests import OptionalBody
from migrations.lifecycle.pausing import PAUSED
from migrations.model.config import MAX_TIMEOUT_SECONDS
from migrations.model.pace import PACE, Pace
from migrations.model.progress import Held
from migrations.model.states import Status
from migrations.ports.limiter import Learned

_MOST_PER_MINUTE = 1e12


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


class ExtendRequest(RequestBody):
    """How long a run may take in all."""

    timeout_seconds: int = Field(
        ge=1,
        le=MAX_TIMEOUT_SECONDS,
        description="Its whole time, in place of the one it has (`timeout_seconds` in the "
        "progress); its deadline moves by the difference. The system may allow less than this "
        "bound, except to admins.",
        examples=[14400],
    )


class ThrottleRequest(RequestBody):
    """How much of the provider one run may use; at least one of these."""

    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Of the provider's limits, those set by hand, announced or learned.",
        examples=[0.1],
    )
    requests_per_minute: float | None = Field(
        default=None,
        gt=0,
        le=_MOST_PER_MINUTE,
        description="At most so many requests, by all workers together.",
        examples=[60.0],
    )
    tokens_per_minute: float | None = Field(
        default=None,
        gt=0,
        le=_MOST_PER_MINUTE,
        description="At most so many tokens, by all workers together.",
        examples=[100000.0],
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.pace == Pace():
            raise ValueError(
                "say one of share, requests_per_minute and tokens_per_minute; DELETE takes it away"
            )
        return self

    @property
    def pace(self) -> Pace:
        return Pace(self.share, self.requests_per_minute, self.tokens_per_minute)


class PaceItem(ResponseBody):
    """That somebody lets a run use less of its provider than there is."""

    share: float | None = Field(
        description="Of the provider's limits; null where only numbers are set.", examples=[0.1]
    )
    requests_per_minute: float | None = Field(
        description="At most so many requests; null where none are set.", examples=[None]
    )
    tokens_per_minute: float | None = Field(
        description="At most so many tokens; null where none are set.", examples=[None]
    )
    by: str = Field(description="Whose token has set it.", examples=["acme"])
    since: datetime = Field(description="When.", examples=["2026-11-03T09:20:00Z"])

    @classmethod
    def of(cls, controls: dict[str, Any]) -> PaceItem | None:
        pace = Pace.of(controls)
        if pace is None:
            return None
        told = controls[PACE]
        return cls(**vars(pace), by=told["by"], since=datetime.fromisoformat(told["at"]))


_SHARE = "Of the limits that are known, so much is used; 1 unless calls were refused within them."
_RATE = (
    "Where no limit is known and calls were refused: at most so many requests are made a minute. "
    "It rises while none are refused; null where a limit is known, or nothing was refused."
)
_PAUSE = "Nothing is asked for so long, because the provider has said so; 0 otherwise."
_REFUSED = "How long ago a call was refused last; null if none was."


class HeldToItem(ResponseBody):
    """What holds a run's calls to its provider, beside limits that are known."""

    provider: str = Field(description="The provider.", examples=["openai"])
    told: str = Field(
        description="What it is, in a sentence.",
        examples=["openai has asked to wait for 12 s more."],
    )
    share: float = Field(description=_SHARE, examples=[1.0])
    requests_per_minute: float | None = Field(description=_RATE, examples=[None])
    paused_seconds: float = Field(description=_PAUSE, examples=[12.0])
    refused_seconds_ago: float | None = Field(description=_REFUSED, examples=[3.2])

    @classmethod
    def of(cls, held: Held | None) -> HeldToItem | None:
        return None if held is None else cls(**vars(held))


class LearnedPaceItem(ResponseBody):
    """What calls to a provider are held to, as all workers together have learned it."""

    provider: str = Field(description="The provider.", examples=["openai"])
    limit_requests_per_minute: float | None = Field(
        description="Set by hand or announced; null where none is known.", examples=[3000.0]
    )
    limit_tokens_per_minute: float | None = Field(
        description="Likewise, of tokens.", examples=[1000000.0]
    )
    share: float = Field(description=_SHARE, examples=[1.0])
    requests_per_minute: float | None = Field(description=_RATE, examples=[None])
    paused_seconds: float = Field(description=_PAUSE, examples=[0.0])
    refused_seconds_ago: float | None = Field(description=_REFUSED, examples=[None])
    told: str | None = Field(
        description="What holds calls beside the limits, in a sentence; null where nothing does.",
        examples=[None],
    )

    @classmethod
    def of(cls, learned: Learned) -> LearnedPaceItem:
        return cls(
            provider=learned.provider,
            limit_requests_per_minute=learned.limits.get("requests"),
            limit_tokens_per_minute=learned.limits.get("tokens"),
            share=learned.share,
            requests_per_minute=learned.requests_per_minute,
            paused_seconds=learned.paused_seconds,
            refused_seconds_ago=learned.refused_seconds_ago,
            told=learned.told,
        )


class LearnedPacesResponse(ResponseBody):
    """Every provider that was called in the last day."""

    paces: list[LearnedPaceItem] = Field(
        description="What calls to each are held to.", examples=[[]]
    )

    @classmethod
    def of(cls, found: Sequence[Learned]) -> LearnedPacesResponse:
        return cls(paces=[LearnedPaceItem.of(one) for one in found])


class ProviderPath(RequestPart):
    place: ClassVar[str] = "path"

    provider: VisibleText = Field(
        description="The provider's name.", json_schema_extra={"example": "openai"}
    )
