"""What is looked at and what was found: reports and estimates."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

Severity = Literal["error", "gate", "warning"]
#: The severity of a check that holds a run back without failing it.
GATE: Final = "gate"


class Check(BaseModel):
    """One thing that was looked at, and what was found."""

    name: str
    passed: bool
    #: A failed check that only warns does not stop the migration; a gate waits for a person.
    severity: Severity = "error"
    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class Report(BaseModel):
    """The outcome of validation or verification, kept with the migration."""

    checks: list[Check] = Field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.errors

    @property
    def errors(self) -> list[Check]:
        return [c for c in self.checks if not c.passed and c.severity == "error"]

    @property
    def gates(self) -> list[Check]:
        """Those in whose favour or against which a person has to decide."""
        return [c for c in self.checks if not c.passed and c.severity == GATE]

    @property
    def warnings(self) -> list[Check]:
        return [c for c in self.checks if not c.passed and c.severity not in {"error", GATE}]

    def add(
        self,
        name: str,
        passed: bool,
        message: str,
        *,
        severity: Severity = "error",
        **details: Any,
    ) -> None:
        self.checks.append(
            Check(name=name, passed=passed, message=message, severity=severity, details=details)
        )


class Estimate(BaseModel):
    """What a migration would take. Money in US dollars, at the catalogue's prices."""

    chunks: int
    batches: int
    tokens: int
    #: Of these, what verification and its questions take, of both models.
    verification_tokens: int
    cost_usd: float | None
    duration_seconds: float
    #: Bytes of the new vectors alone: chunks x dimension x 4.
    vector_bytes: int
    sampled_chunks: int
    #: How each figure was come by, in sentences.
    basis: list[str]
