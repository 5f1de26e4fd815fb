"""Keys that stand more than once in a collection: told, and refused unless it is agreed to."""

from __future__ import annotations

from collections.abc import Sequence

from migrations.model.chunks import Key
from migrations.model.config import DuplicateKeys
from migrations.model.report import Report

#: Keys that are named.
EXAMPLES = 10


def report_duplicates(report: Report, keys: Sequence[Key], asked: DuplicateKeys) -> None:
    """Say how many there are, and what can be done. ``keys`` has each of them once."""
    if not keys:
        report.add("duplicate_keys", True, "Every key stands once.", keys=0)
        return
    kept = asked is DuplicateKeys.KEEP_ONE
    shown = ", ".join(map(repr, keys[:EXAMPLES])) + (", ..." if len(keys) > EXAMPLES else "")
    report.add(
        "duplicate_keys",
        False,
        f"{len(keys)} {'key stands' if len(keys) == 1 else 'keys stand'} more than once, as after "
        f"an insert where an upsert was meant: {shown}. "
        + (
            "One row of each is carried: the newest where Milvus lets it be told, otherwise the "
            "one that Milvus shows."
            if kept
            else "Milvus shows any one of their rows. Upsert the right row of each, which leaves "
            "that one alone, or start with duplicate_keys: keep_one."
        ),
        severity="warning" if kept else "error",
        keys=len(keys),
        examples=[str(key) for key in keys[:EXAMPLES]],
    )
