"""Verification, level one: the same keys with the same content on both sides."""

from __future__ import annotations

from migrations.comparison import Difference, differences
from migrations.results import Report
from migrations.run import Run


def check_content(run: Run, report: Report) -> None:
    """Count both sides in two ways and compare every key and every non-vector field.

    Chunks recorded as failed are missing by permission (max_failed_ratio).
    """
    found = Findings(permitted=run.services.store.count_failed_chunks(run.migration.id))
    for difference in differences(run):
        run.check()
        found.add(difference)
    counted = run.services.vectors.count(run.target.name)
    expected = found.rows - found.missing + found.extra + found.left_out
    report.add(
        "target_count",
        counted == expected,
        f"The target counts {counted} chunks; reading it found {expected}.",
        counted=counted,
        read=expected,
    )
    report.add(
        "content",
        found.same,
        f"{found.rows} chunks compared: {found.missing} missing, {found.changed} different, "
        f"{found.extra} too many.",
        rows=found.rows,
        missing=found.missing,
        changed=found.changed,
        extra=found.extra,
        examples=found.examples,
    )


class Findings:
    """Sums over all differences, in chunks, with a few keys of each as examples."""

    def __init__(self, permitted: int) -> None:
        self.permitted = permitted
        self.rows = self.missing = self.changed = self.extra = self.left_out = 0
        self.examples: list[str] = []

    def add(self, difference: Difference) -> None:
        self.rows += difference.rows
        self.missing += len(difference.missing)
        self.changed += len(difference.changed)
        self.extra += len(difference.extra)
        self.left_out += len(difference.left_out)
        keys = [c.key for c in difference.missing] + [c.key for c, _ in difference.changed]
        self.examples = (self.examples + [str(k) for k in keys + difference.extra])[:10]

    @property
    def same(self) -> bool:
        return self.missing <= self.permitted and self.changed == 0 and self.extra == 0
