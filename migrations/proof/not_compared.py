"""What verification did not look at, so that nobody takes it for looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from migrations.model.errors import VerificationFailed
from migrations.model.report import Check
from migrations.model.runs import Migration


def checks_of(migration: Migration) -> list[Check]:
    """Of its verification, also where that is why it was taken back."""
    found = migration.verification
    if found is None:
        error = migration.error or {}
        found = error.get("details", {}) if error.get("code") == VerificationFailed.code else {}
    return [Check.model_validate(check) for check in found.get("checks", [])]


def not_compared(checks: Sequence[Check]) -> list[str]:
    """In sentences; of a report that an older version wrote it knows less."""
    found = {check.name: check for check in checks}
    if not found:
        return ["Nothing was compared yet."]
    if "skipped" in found:
        return ["Anything: verification was skipped as asked."]
    return [
        *_vectors(_details(found, "vectors"), _details(found, "content")),
        *(_told(found, "neighbourhoods", "compared")),
        *(_told(found, "parts_of_texts", "questions")),
        *(_golden(_details(found, "golden_queries"))),
        *_texts(_details(found, "retrieval")),
        *_slices(_details(found, "slices")),
        "What the application makes of results: its filters, thresholds, rerankers and prompts.",
    ]


def _details(found: Mapping[str, Check], name: str) -> Mapping[str, Any]:
    return found[name].details if name in found else {}


def _vectors(vectors: Mapping[str, Any], content: Mapping[str, Any]) -> list[str]:
    sampled, rows = vectors.get("sampled"), content.get("rows")
    if sampled is None or rows is None or sampled >= rows:
        return []
    chosen = vectors.get("at_random", sampled)
    share = 1 - (1 - 0.01) ** chosen
    told = (
        f"The vectors of {rows - sampled} of {rows} rows, which are not in the sample: a fault of "
        f"one row in a hundred is found with a probability of {share:.0%}, of two rows of all "
        f"with {2 * chosen / rows:.1%}."
    )
    return [told]


def _told(found: Mapping[str, Check], name: str, counted: str) -> list[str]:
    """Why a check looked at nothing."""
    check = found.get(name)
    return [check.message] if check is not None and not check.details.get(counted) else []


def _golden(details: Mapping[str, Any]) -> list[str]:
    if details.get("queries"):
        return []
    return ["Questions of users: the bot has no golden queries that both sides were asked."]


def _slices(details: Mapping[str, Any]) -> list[str]:
    if not details:
        return ["Parts of the collection by themselves: no field was named by which to slice it."]
    small = [
        one
        for one in details["slices"]
        if (one["neighbourhoods"], one["recall_after"]) == (None, None)
    ]
    if not small:
        return []
    rows = sum(one["rows"] for one in small)
    told = f"{len(small)} slices by the field {details['field']!r}, of {rows} rows, by themselves: "
    return [f"{told}too few of their rows can be compared."]


def _texts(retrieval: Mapping[str, Any]) -> list[str]:
    left_out = retrieval.get("left_out")
    if not left_out:
        return []
    return [f"{left_out} sampled rows share their text with another; nobody can ask for one alone."]
