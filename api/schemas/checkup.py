"""What the doctor has looked at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.findings import FINDING_EXAMPLE, FindingItem, items_of
from api.schemas.parts import ResponseBody
from migrations.model.checkup import Checkup, Looked, worst
from migrations.model.release import release

Verdict = Literal["well", "warning", "error"]


class LookedItem(ResponseBody):
    """One thing that was looked at."""

    about: str = Field(description="What it is.", examples=["redis"])
    verdict: Verdict = Field(description="The worst of what was found.", examples=["well"])
    message: str = Field(
        description="How it is when nothing is found.",
        examples=["It answers, takes writes and evicts nothing."],
    )
    findings: list[FindingItem] = Field(
        description="What is wrong with it.", examples=[[FINDING_EXAMPLE]]
    )

    @classmethod
    def of(cls, one: Looked) -> LookedItem:
        return cls(
            about=one.about,
            verdict=worst(one.findings) or "well",
            message=one.well,
            findings=items_of(one.findings),
        )


class CheckupResponse(ResponseBody):
    """Everything that migrations stand on, as the API's process sees it."""

    verdict: Verdict = Field(description="The worst of all.", examples=["well"])
    version: str = Field(description="Of reembed, here.", examples=["0.1.0"])
    looked_at: list[LookedItem] = Field(description="Each thing, in order.", examples=[[]])

    @classmethod
    def of(cls, checkup: Checkup) -> CheckupResponse:
        return cls(
            verdict=checkup.severity or "well",
            version=release(),
            looked_at=[LookedItem.of(one) for one in checkup.looked],
        )
