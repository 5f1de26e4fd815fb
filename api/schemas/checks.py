"""One thing that was looked at, by a validation or by a verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from api.schemas.parts import ResponseBody
from migrations.model.report import Check, Severity


class CheckItem(ResponseBody):
    """One thing that was looked at, and what was found."""

    name: str = Field(description="What was looked at.", examples=["target_model_answers"])
    passed: bool = Field(description="Whether it is as it should be.", examples=[True])
    severity: Severity = Field(
        description="What not passing means: 'error' stops the migration, 'gate' lets it wait for "
        "a person, 'warning' tells.",
        examples=["error"],
    )
    message: str = Field(
        description="What was found, in a sentence.",
        examples=["The target model answers with 3072 dimensions, as expected."],
    )
    details: dict[str, Any] = Field(
        description="Figures behind the sentence.", examples=[{"dimension": 3072}]
    )

    @classmethod
    def of(cls, check: Check) -> CheckItem:
        return cls(
            name=check.name,
            passed=check.passed,
            severity=check.severity,
            message=check.message,
            details=check.details,
        )

    @classmethod
    def all_of(cls, checks: Sequence[Check]) -> list[CheckItem]:
        return [cls.of(check) for check in checks]
