"""What is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from api.schemas.parts import ResponseBody
from migrations.model.findings import Finding, Severity

FINDING_EXAMPLE = {
    "code": "no-worker",
    "severity": "error",
    "message": "No worker is alive, so no migration moves.",
    "remedy": "Start a batch worker and a control worker.",
}


class FindingItem(ResponseBody):
    """One thing that is wrong with that which migrations stand on."""

    code: str = Field(description="A stable word.", examples=["no-worker"])
    severity: Severity = Field(
        description="`error` where something stands still or fails because of it, `warning` where "
        "nothing does yet.",
        examples=["error"],
    )
    message: str = Field(
        description="What is wrong, in a sentence.",
        examples=["No worker is alive, so no migration moves."],
    )
    remedy: str = Field(
        description="What to do about it.",
        examples=["Start a batch worker and a control worker."],
    )

    @classmethod
    def of(cls, finding: Finding) -> FindingItem:
        return cls(**vars(finding))


def items_of(findings: Iterable[Finding]) -> list[FindingItem]:
    return [FindingItem.of(finding) for finding in findings]
