"""What the doctor has looked at, and how each thing was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migrations.model.findings import Finding, Severity


@dataclass(frozen=True)
class Looked:
    """One thing that was looked at: ``well`` says how it is, ``findings`` what is wrong with it."""

    about: str
    well: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Checkup:
    looked: tuple[Looked, ...]

    @property
    def findings(self) -> list[Finding]:
        return [finding for one in self.looked for finding in one.findings]

    @property
    def severity(self) -> Severity | None:
        """The worst of all; None where all is well."""
        return worst(self.findings)


def worst(findings: Iterable[Finding]) -> Severity | None:
    found = {finding.severity for finding in findings}
    return next((one for one in (Severity.ERROR, Severity.WARNING) if one in found), None)


@dataclass(frozen=True)
class Privilege:
    """Something that reembed must be allowed to do in Milvus, and why it is not."""

    name: str
    #: None where it was done; Milvus' words where it was refused.
    refusal: str | None = None
