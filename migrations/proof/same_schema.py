"""Verification: both collections are still described alike, whatever was altered meanwhile."""

from __future__ import annotations

from migrations.model.errors import VerificationFailed
from migrations.model.report import Report
from migrations.model.states import Kind
from migrations.run.run import Run

#: What of a description says which data there is. Someone goes back to a collection whose
#: indexes and properties are as they were; a column that is new would be lost there.
OF_THE_DATA = frozenset({"fields", "functions", "enable_dynamic_field"})


def judge_schema(run: Run, report: Report) -> None:
    found = _differences(run)
    report.add(
        "schema",
        not found,
        _sentence(found) if found else "Both collections are described alike.",
    )


def require_same_schema(run: Run) -> None:
    """Right before the switch. Raises VerificationFailed."""
    found = _differences(run)
    if found:
        raise VerificationFailed(_sentence(found))


def _sentence(found: list[str]) -> str:
    return (
        "The collection's schema is no longer the one that was copied; start again, and leave it "
        f"alone meanwhile. {'; '.join(found)}"
    )


def _differences(run: Run) -> list[str]:
    """Described anew: the run's own schemas are of its beginning."""
    vectors, migration, field = run.services.vectors, run.migration, run.bot.vector_field
    source = vectors.describe(migration.source_collection, field)
    target = vectors.describe(migration.target_collection, field)
    among = OF_THE_DATA if migration.kind is Kind.REVERSE else None
    found = source.with_index(migration.config.index).differences(target, among)
    expected = migration.config.to_dimension
    if target.dimension != expected:
        found.append(f"dimension: {expected} became {target.dimension}")
    return [*source.unsupported, *found]
